"""What travels: codecs, which encode on the sender's device and decode on the receiver's."""

from tfps.wire.cast import Cast
from tfps.wire.codec import Codec, Encoded, Identity, Parameter

__all__ = ["Cast", "Codec", "Encoded", "Identity", "Parameter"]

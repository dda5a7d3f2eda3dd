"""Checks of the values of a job spec.

`check` raises faults. `at_least` to `repeated` yield the faults of a field. The functions named
`..._fault` return what is wrong with a name, or None.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from tfps.errors import Fault, JobSpecError

LONGEST_JOB_NAME = 40
"""Leaves room for `-evaluator-0-0` and five random letters in the 63 characters of a DNS label."""

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_JOB = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_LABEL_PART = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_DOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PORT = re.compile(r"(?!.*--)[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_URL = re.compile(r"(gs|s3|hdfs)://[^/\s]+(/\S*)?")


def check(faults: Iterable[Fault]) -> None:
    """Raise an error if there are faults.

    Raises:
        JobSpecError: There are faults; all of them are listed.
    """
    listed = tuple(faults)
    if listed:
        raise JobSpecError(listed)


def at_least(name: str, value: float | None, least: int) -> Iterator[Fault]:
    """Check that a number is large enough, unless it is None."""
    if value is not None and value < least:
        yield Fault((name,), f"{value:g} is too few. Give at least {least}.")


def above_zero(name: str, value: float | None) -> Iterator[Fault]:
    """Check that an amount is positive, unless it is None."""
    if value is not None and not value > 0:
        yield Fault((name,), f"{value:g} is not an amount. Give more than 0.")


def well_formed(
    name: str, value: str | None, fault_of: Callable[[str], str | None]
) -> Iterator[Fault]:
    """Check text with one of the functions `..._fault`, unless it is None."""
    sentence = None if value is None else fault_of(value)
    if sentence is not None:
        yield Fault((name,), sentence)


def keys(
    name: str, mapping: Mapping[str, object], fault_of: Callable[[str], str | None]
) -> Iterator[Fault]:
    """Check each key of a mapping with one of the functions `..._fault`."""
    for key in mapping:
        yield from (fault.below(name) for fault in well_formed(key, key, fault_of))


def labels(
    name: str,
    mapping: Mapping[str, str],
    fault_of_key: Callable[[str], str | None],
    fault_of_value: Callable[[str], str | None],
) -> Iterator[Fault]:
    """Check the keys and values of labels with functions `..._fault`."""
    yield from keys(name, mapping, fault_of_key)
    for key, value in mapping.items():
        yield from (fault.below(name) for fault in well_formed(key, value, fault_of_value))


def repeated(name: str, values: Sequence[object], field: str | None = None) -> Iterator[Fault]:
    """Check that no two items of a list have the same value.

    Args:
        name: The list's name.
        values: The items, or the values of one field of theirs.
        field: The name of that field.
    """
    for index, value in enumerate(values):
        if value in values[:index]:
            path = (name, index) if field is None else (name, index, field)
            first = values.index(value)
            yield Fault(path, f"{value!r} is already that of {name}[{first}]. Give it once.")


def job_fault(name: str) -> str | None:
    """Check the name of a job, from which all names of its parts are made."""
    if len(name) > LONGEST_JOB_NAME:
        return (
            f"{name!r} has {len(name)} characters, but at most {LONGEST_JOB_NAME} leave room for "
            "the names of its tasks. Choose a shorter one."
        )
    if not _JOB.fullmatch(name):
        return (
            f"{name!r} is not a name that all platforms take. Use lowercase letters, digits and "
            "'-', with a letter first and no '-' at the end, e.g. 'gpt-lm'."
        )
    return None


def dns_label_fault(name: str) -> str | None:
    """Check a name that must be a DNS label, e.g. the name of a volume or a namespace."""
    if len(name) <= 63 and _LABEL.fullmatch(name):
        return None
    return (
        f"{name!r} is not a DNS label. Use at most 63 lowercase letters, digits and '-', with no "
        "'-' at either end."
    )


def dns_name_fault(name: str) -> str | None:
    """Check a name of DNS labels separated by dots, e.g. the name of a service account."""
    if len(name) <= 253 and _DOMAIN.fullmatch(name):
        return None
    return f"{name!r} is not a DNS name. Use lowercase letters, digits, '-' and '.', e.g. 'data-1'."


def label_key_fault(key: str) -> str | None:
    """Check the key of a Kubernetes label: a name, with an optional domain and '/' before it."""
    domain, slash, name = key.rpartition("/")
    bad_domain = slash and (len(domain) > 253 or not _DOMAIN.fullmatch(domain))
    if bad_domain or len(name) > 63 or not _LABEL_PART.fullmatch(name):
        return (
            f"{key!r} is not the key of a label. Write at most 63 letters, digits, '-', '_' and "
            "'.', maybe with a domain before them, e.g. 'example.com/pool'."
        )
    return None


def label_value_fault(value: str) -> str | None:
    """Check the value of a Kubernetes label."""
    if value == "" or (len(value) <= 63 and _LABEL_PART.fullmatch(value)):
        return None
    return (
        f"{value!r} is not the value of a label. Use at most 63 letters, digits, '-', '_' and "
        "'.', with a letter or digit at both ends."
    )


def variable_fault(name: str) -> str | None:
    """Check the name of an environment variable that a user sets."""
    if not _VARIABLE.fullmatch(name):
        return (
            f"{name!r} is not the name of an environment variable. Use letters, digits and '_', "
            "with no digit first."
        )
    if name in ("TF_CONFIG", "CLUSTER_SPEC") or name.startswith("TFPS_"):
        return f"{name!r} is set by tfps for each task. Leave it out."
    return None


def port_name_fault(name: str) -> str | None:
    """Check the name of a port, by the rules of IANA and Kubernetes."""
    if len(name) <= 15 and _PORT.fullmatch(name) and re.search("[a-z]", name):
        return None
    return (
        f"{name!r} is not the name of a port. Use at most 15 lowercase letters, digits and single "
        "'-', with a letter among them, e.g. 'tensorboard'."
    )


def is_url(path: str) -> bool:
    """Return whether a path is a URL of an object store or file system that TensorFlow reads."""
    return _URL.fullmatch(path) is not None


def bucket_fault(name: str) -> str | None:
    """Check the name of a Cloud Storage bucket."""
    if re.fullmatch(r"[a-z0-9][-a-z0-9_.]{1,220}[a-z0-9]", name):
        return None
    return (
        f"{name!r} is not the name of a bucket. Write it without gs:// and without a path: at "
        "least three lowercase letters, digits, '-', '_' and '.'."
    )


def image_fault(name: str) -> str | None:
    """Check the reference of a container image."""
    if re.fullmatch(r"[a-zA-Z0-9][-a-zA-Z0-9_./:@]*", name) and "://" not in name:
        return None
    return f"{name!r} is not an image. Write it as NAME:TAG or NAME@DIGEST, e.g. 'tfps:0.1.0'."


def parameter_fault(name: str) -> str | None:
    """Check the name of a metric, or of a hyperparameter, which becomes an argument."""
    if re.fullmatch(r"[A-Za-z][-A-Za-z0-9_]{0,127}", name):
        return None
    return f"{name!r} is not a name. Use letters, digits, '_' and '-', with a letter first."

"""Count with two strategies, turn by turn, on the embedded cluster of this process."""

from counter import counter

from tfps.cluster.embedded import embedded_cluster
from tfps.errors import EmbeddedClusterError

cluster = embedded_cluster(num_ps=2, num_workers=2)
assert embedded_cluster() == cluster
assert embedded_cluster(num_workers=2) == cluster
for num_ps, num_workers in ((3, 2), (2, 1), (0, 2)):
    try:
        embedded_cluster(num_ps, num_workers)
    except EmbeddedClusterError as error:
        print(error)
first, second = counter(cluster), counter(cluster)
print([count(50) for count in (first, second, first, second)], flush=True)

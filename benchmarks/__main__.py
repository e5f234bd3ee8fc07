"""Turns `python -m benchmarks [NAME [OPTION...]]` into a run of one benchmark, or of all."""

import signal
import sys

import benchmarks.analysis
import benchmarks.end_to_end
import benchmarks.fused.run
import benchmarks.ledger
import benchmarks.outage
import benchmarks.small
import benchmarks.soak.run
import benchmarks.startup.run
import benchmarks.stores.cassandra
import benchmarks.stores.influx
import benchmarks.stores.postgres
import benchmarks.stores.redis
import benchmarks.w1.run
import benchmarks.w2.run

BENCHMARKS = {
    "w1": benchmarks.w1.run.main,
    "w2": benchmarks.w2.run.main,
    "fused": benchmarks.fused.run.main,
    "analysis": benchmarks.analysis.main,
    "ledger": benchmarks.ledger.main,
    "small": benchmarks.small.main,
    "startup": benchmarks.startup.run.main,
    "soak": benchmarks.soak.run.main,
    "outage": benchmarks.outage.main,
    "end_to_end": benchmarks.end_to_end.main,
    "influx": benchmarks.stores.influx.main,
    "postgres": benchmarks.stores.postgres.main,
    "redis": benchmarks.stores.redis.main,
    "cassandra": benchmarks.stores.cassandra.main,
}


def main(arguments: list[str]) -> int:
    """The exit status: 0 done, 1 a contender failed or has other results, 2 a usage mistake."""
    # As an exception, so that a measured tree of processes is killed on the way out.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    if not arguments:
        return max(run([]) for run in BENCHMARKS.values())
    name, *options = arguments
    if name not in BENCHMARKS:
        print(f"no benchmark '{name}'; there are: {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    return BENCHMARKS[name](options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

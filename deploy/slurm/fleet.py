#!/usr/bin/env python3
"""A fleet of SLURM jobs: a Dask scheduler here, workers as jobs that come and go with the work.

    python fleet.py --runs 2 --most 20 --partition compute --hours 8
    evercell serve --on "dask://THIS_HOST:8786?resource=runs" --jobs 40

It stays in the foreground: start it on a login or service node, under systemd or in tmux. --print shows the job that
SLURM is given. Needs: pip install "evercell[dask,postgres]" dask-jobqueue, in an environment that all nodes see.
"""

from __future__ import annotations

import argparse
import signal


def main() -> None:
    """Keep the fleet until it is told to end."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, default=8786)
    parser.add_argument("--interface", help="network interface of the nodes, for example ib0")
    parser.add_argument("--partition")
    parser.add_argument("--account")
    parser.add_argument(
        "--hours", type=float, default=8, help="of a job; a run that is cut off goes on in another one"
    )
    parser.add_argument("--cores", type=int, default=8)
    parser.add_argument("--memory", default="32GB")
    parser.add_argument("--runs", type=int, default=2, help="at once in each job")
    parser.add_argument("--least", type=int, default=0, help="jobs that stay when there is nothing to do")
    parser.add_argument("--most", type=int, default=10, help="jobs at once")
    parser.add_argument(
        "--env-file", default="$HOME/.config/evercell.env", help="exports EVERCELL_STORE and EVERCELL_KEY"
    )
    parser.add_argument(
        "--print", action="store_true", dest="only_print", help="print the job script, start nothing"
    )
    options = parser.parse_args()

    from dask_jobqueue import SLURMCluster

    cluster = SLURMCluster(
        queue=options.partition,
        account=options.account,
        walltime=_as_clock(options.hours * 60),
        cores=options.cores,
        processes=1,
        nanny=False,
        memory=options.memory,
        interface=options.interface,
        scheduler_options={"port": options.port, "dashboard": False},
        # a worker leaves before SLURM ends its job, and its runs suspend themselves
        worker_extra_args=[
            "--resources",
            f"runs={options.runs}",
            "--lifetime",
            f"{options.hours * 60 - 5:g}m",
        ],
        # secrets stay in a file that only you can read, and out of the job's script and environment in SLURM's records
        job_script_prologue=[f"set -a; . {options.env_file}; set +a"],
        job_extra_directives=["--requeue"],
    )
    if options.only_print:
        print(cluster.job_script())
        cluster.close()
        return
    cluster.adapt(minimum_jobs=options.least, maximum_jobs=options.most)
    print(
        f"evercell serve --on 'dask://{cluster.scheduler_address.partition('://')[2]}?resource=runs'",
        flush=True,
    )
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
    cluster.close()


def _as_clock(minutes: float) -> str:
    return f"{int(minutes // 60):02}:{int(minutes % 60):02}:00"


if __name__ == "__main__":
    main()

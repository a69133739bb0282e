"""Runs the cases in two processes, and prints how they ended: `python -m tests.fuzz --help`."""

import argparse
import collections
import contextlib
import json
import sys
from collections.abc import Iterable
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from tests.fuzz.worker import Worker

MAX_TRAINED = 500


def main() -> int:
    arguments = _parse(sys.argv[1:])
    record = Path(arguments.record or f"outputs/fuzz/seed{arguments.seed}.jsonl").absolute()
    record.parent.mkdir(parents=True, exist_ok=True)
    if arguments.again:
        record.unlink(missing_ok=True)
    results = read_record(record)
    cases = arguments.cases or range(arguments.number)
    todo = [number for number in cases if arguments.cases or number not in results]
    with contextlib.suppress(KeyboardInterrupt), record.open("a", encoding="utf-8") as file:
        for result in run_cases(todo, arguments.seed, arguments.processes, results):
            results[result["number"]] = result
            file.write(json.dumps(result, ensure_ascii=False) + "\n")
            file.flush()
            if arguments.cases:
                print(json.dumps(result, ensure_ascii=False, indent=1))
    return report([results[number] for number in cases if number in results], len(cases))


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--number", type=int, default=10_000, help="of cases; default: 10000")
    parser.add_argument("--seed", type=int, default=0, help="of the cases; default: 0")
    parser.add_argument("--processes", type=int, default=2, help="default: 2")
    parser.add_argument("--record", help="JSONL file; default: outputs/fuzz/seed<seed>.jsonl")
    parser.add_argument("--again", action="store_true", help="forget the recorded results")
    parser.add_argument("--cases", type=int, nargs="*", help="run these cases again, and show them")
    return parser.parse_args(arguments)


def read_record(path: Path) -> dict[int, dict[str, Any]]:
    """The results of earlier commands by the numbers of their cases; a cut line does not count."""
    results = {}
    for line in path.read_text(encoding="utf-8").split("\n") if path.exists() else ():
        try:
            result = json.loads(line)
        except json.JSONDecodeError:
            continue
        results[result["number"]] = result
    return results


def run_cases(
    todo: Iterable[int], seed: int, num_processes: int, earlier: dict[int, dict[str, Any]]
) -> Iterable[dict[str, Any]]:
    """Runs the cases, and gives the result of each."""
    remaining = collections.deque(todo)
    trained = sum(result["trained"] for result in earlier.values())
    workers: list[Worker] = []
    try:
        while remaining or workers:
            while remaining and len(workers) < num_processes:
                workers.append(Worker(seed))
            wait([worker.connection for worker in workers], timeout=1)
            for worker in list(workers):
                result = worker.result()
                if result is not None:
                    trained += result["trained"]
                    yield result
                if worker.is_spent() or (worker.is_idle() and not remaining):
                    worker.stop()
                    workers.remove(worker)
                elif worker.is_idle():
                    worker.give(remaining.popleft(), trained < MAX_TRAINED)
    finally:
        for worker in workers:
            worker.stop()


def report(results: list[dict[str, Any]], number: int) -> int:
    """Prints the table of outcomes, and the faults; 1 if there are any, or if cases are missing."""
    from tests.fuzz.outcome import FAULTS, judged

    counts: collections.Counter[str] = collections.Counter()
    for result in results:
        outcome = judged(result["outcome"], result["message"])
        counts[outcome] += 1
        if outcome in FAULTS:
            message = result["message"].strip().splitlines()[-1:] or [""]
            print(f"{outcome}: case {result['number']}: {result['case']}: {message[0]}")
    if len(results) < number:
        print(f"Interrupted after {len(results)} of {number} cases. The same command goes on.")
    print(f"| outcome | of {len(results)} cases |\n| --- | --- |")
    for outcome, count in sorted(counts.items()):
        print(f"| {outcome} | {count} |")
    return int(len(results) < number or any(counts[fault] for fault in FAULTS))


if __name__ == "__main__":
    sys.exit(main())

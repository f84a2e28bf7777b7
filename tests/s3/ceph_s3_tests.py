"""Runs ceph/s3-tests against fresh servers and writes what came of each test.

    git clone https://github.com/ceph/s3-tests
    cargo build --release --locked --ignore-rust-version --bin cairn
    python3 tests/s3/ceph_s3_tests.py PATH/TO/s3-tests [--compare tests/s3/ceph_s3_tests.tsv] [-k EXPRESSION]

The tests are divided among as many servers as `--jobs` says. Each server is a `cairn dev` on a directory of its own, so no
test sees the buckets of another one that runs beside it. `--endpoint URL` uses a server that runs already, with the key
in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.

The suite wants several users (main, alt, tenant, iam, ...). They are made with the root key before the tests begin, none of
them root itself. Nothing else is done for any test.

Written below `--out` (default: target/ceph-s3-tests): `table.tsv` with a line for each test, the servers' logs and pytest's
reports. The pinned clients are installed there, too, once. The exit code is 0, or 1 if `--compare` found a test that passed
before and does not pass now, or 2 if the suite could not be run.
"""
import argparse
import collections
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import xml.etree.ElementTree as xml
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILES = ["s3tests/functional/test_s3.py", "s3tests/functional/test_headers.py"]

# What the goal of the conformance run leaves out: these features have no place in Cairn yet, or never will.
LEFT_OUT = {
    "logging": ["bucket_logging", "bucket_logging_cleanup", "fails_without_logging_rollover"],
    "lifecycle": ["lifecycle", "lifecycle_expiration", "lifecycle_transition"],
    "cloud": ["cloud_transition", "cloud_restore", "target_by_bucket"],
}

# The versions that the suite runs with. boto3 is pinned in requirements.txt, as for the other tests.
PINNED = ["pytest==8.4.2", "pytest-timeout==2.4.0"]

# How long a server may take to start. Far more than it takes.
START_SECONDS = 60


class CannotRun(Exception):
    """The suite cannot be run; the message says why."""


def environment(out, checkout):
    """The Python that has what the suite needs: an environment below `out`, made again when a pin changes."""
    wanted = (ROOT / "tests/s3/requirements.txt").read_text() + "\n".join(PINNED) + "\n"
    python, stamp = out / "venv/bin/python", out / "installed.txt"
    if not stamp.exists() or stamp.read_text() != wanted:
        pins = out / "requirements.txt"
        pins.write_text(wanted)
        run([sys.executable, "-m", "venv", "--clear", out / "venv"])
        # tox is only a way to start the suite.
        suite = [line for line in (checkout / "requirements.txt").read_text().splitlines() if line.strip() != "tox"]
        (out / "suite.txt").write_text("\n".join(suite) + "\n")
        run([python, "-m", "pip", "install", "--quiet", "-r", pins, "-r", out / "suite.txt"])
        stamp.write_text(wanted)
    return python


def run(command, **options):
    """Runs a program to its end and gives back what it printed."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise CannotRun(f"{command[0]} ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout


@contextlib.contextmanager
def server(binary, log):
    """A fresh `cairn dev`: its endpoint and its root key. Ended by its pid, and its directory removed."""
    with tempfile.TemporaryDirectory(prefix="cairn-s3-tests-") as home, open(log, "w") as said:
        data = Path(home) / "data"
        child = subprocess.Popen(
            [binary, "dev", "--dir", data, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, stderr=said, text=True
        )
        giving_up = threading.Timer(START_SECONDS, child.kill)
        giving_up.start()
        try:
            found = next((match for line in child.stdout if (match := re.search(r"http://\S+", line))), None)
            giving_up.cancel()
            if found is None:
                raise CannotRun(f"{binary} did not come up; see {log}")
            # The pipe is read on, so that the server never waits for a full one.
            threading.Thread(target=child.stdout.read, daemon=True).start()
            key = json.loads((data / "credentials.json").read_text())
            yield found.group(), key["access_key"], key["secret_key"]
        finally:
            giving_up.cancel()
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(timeout=30)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


# Makes a user with the root key, and asks as that user for the owner that listings name. Run by the suite's own Python.
MAKE_USER = """
import json, sys
import boto3, requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
endpoint = sys.argv[1]
root = boto3.session.Session().get_credentials()
request = AWSRequest("POST", endpoint + "/.cairn/v1/users", data=b"", headers={"x-amz-content-sha256": "UNSIGNED-PAYLOAD"})
SigV4Auth(root, "s3", "us-east-1").add_auth(request)
answer = requests.post(request.url, headers=dict(request.headers), data=b"")
answer.raise_for_status()
user = answer.json()
keys = {"aws_access_key_id": user["access_key"], "aws_secret_access_key": user["secret_key"]}
s3 = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **keys)
print(json.dumps({**user, "owner": s3.list_buckets()["Owner"]}))
"""


def write_config(path, python, endpoint, access_key, secret_key):
    """The suite's configuration file. Owners are asked for, because tests compare them with what listings say."""
    known = {"AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret_key, "AWS_CONFIG_FILE": os.devnull}

    def user(name):
        made = json.loads(run([python, "-c", MAKE_USER, endpoint], env={**os.environ, **known}))
        return {
            "access_key": made["access_key"],
            "secret_key": made["secret_key"],
            "user_id": made["owner"]["ID"],
            "display_name": made["owner"].get("DisplayName", ""),
            "email": f"{name}@example.org",
        }

    host, port = re.fullmatch(r"http://([^:/]+):(\d+)/?", endpoint).groups()
    sections = {
        "DEFAULT": {"host": host, "port": port, "is_secure": "False", "ssl_verify": "False"},
        "fixtures": {"bucket prefix": "s3tests-{random}-"},
        # Without a configured region any location constraint is accepted, and buckets have none.
        "s3 main": {**user("main"), "api_name": ""},
        "s3 alt": user("alt"),
        "s3 tenant": {**user("tenant"), "tenant": ""},
        "iam": user("iam"),
        "iam root": user("iam-root"),
        "iam alt root": user("iam-alt-root"),
    }
    lines = []
    for name, values in sections.items():
        lines += [f"[{name}]", *(f"{key} = {value}" for key, value in values.items()), ""]
    path.write_text("\n".join(lines))


def collect(python, checkout, config, chosen):
    """The names of the tests, in the suite's order; `chosen` is what pytest chooses by."""
    command = [python, "-m", "pytest", "--collect-only", "-q", *chosen, *FILES]
    done = subprocess.run(
        [str(word) for word in command], cwd=checkout, env=suite_environment(config), capture_output=True, text=True
    )
    if done.returncode not in (0, 5):  # 5: nothing was chosen
        raise CannotRun(f"the tests cannot be collected:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return [line for line in done.stdout.splitlines() if "::" in line]


def suite_environment(config):
    """The environment of the suite: no settings of the person who runs it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {**kept, "S3TEST_CONF": str(config), "AWS_CONFIG_FILE": os.devnull, "PYTHONDONTWRITEBYTECODE": "1"}


def run_share(python, checkout, config, names, report, seconds, plugins, running):
    """Runs some of the tests against one server; the process is added to those that run."""
    # Marks that the suite forgot to declare, and its own deprecations, are none of our business.
    command = [
        python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore", *plugins,
        f"--timeout={seconds}", f"--junitxml={report}", "-o", "junit_logging=no", *names,
    ]  # fmt: skip
    with open(report.with_suffix(".log"), "w") as said:
        child = subprocess.Popen(
            [str(word) for word in command], cwd=checkout, env=suite_environment(config), stdout=said, stderr=said
        )
        running.append(child)
        code = child.wait()
    if code not in (0, 1):
        raise CannotRun(f"pytest ended with {code}; see {report.with_suffix('.log')}")


def first_line(text):
    """The first line of a reason, short enough for a table."""
    line = next((line.strip() for line in (text or "").splitlines() if line.strip()), "")
    return line.replace("\t", " ")[:300]


def read_report(report):
    """Each test's result and reason. A test whose clean-up failed did not pass: it left something that cannot go."""
    results = {}
    for case in xml.parse(report).iter("testcase"):
        name = f"{case.get('classname').rsplit('.', 1)[-1]}::{case.get('name')}"
        result = ("passed", "")
        for kind, said in (("skipped", "skipped"), ("error", "error"), ("failure", "failed")):
            found = case.find(kind)
            if found is not None:
                result = (said, first_line(found.get("message")) or first_line(found.text))
        # A test that failed and then could not clean up stands there twice: the failure is what matters.
        if name not in results or results[name][0] != "failed":
            results[name] = result
    return results


def read_table(path):
    """An earlier table: the result of each test, and why it does not pass, if somebody found out."""
    lines = path.read_text().splitlines()[1:]
    return {name: (result, why) for name, result, why in (line.split("\t") for line in lines)}


def short(name):
    """A test's name without the folders of its file."""
    file, test = name.split("::", 1)
    return f"{Path(file).stem}::{test}"


def summary(names, results, groups):
    """How many tests had which result, without those that the goal leaves out, and those for themselves."""
    def count(some):
        counted = collections.Counter(results[name][0] for name in some)
        return f"{counted['passed']} of {len(some)} passed" + "".join(
            f", {counted[kind]} {kind}" for kind in ("failed", "error", "skipped") if counted[kind]
        )

    left_out = {name for group in groups.values() for name in group}
    lines = []
    for file in FILES:
        stem = Path(file).stem
        of_file = [name for name in names if name.startswith(stem + "::")]
        counted = [name for name in of_file if name not in left_out]
        if counted:
            without = f" without {', '.join(groups)}" if len(counted) < len(of_file) else ""
            lines.append(f"{stem}{without}: {count(counted)}")
    lines += [f"{group}: {count([name for name in names if name in some])}" for group, some in groups.items() if some]
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkout", type=Path, help="a checkout of ceph/s3-tests")
    parser.add_argument("--cairn", type=Path, default=ROOT / "target/release/cairn", help="the program under test")
    parser.add_argument("--endpoint", help="a server that runs already, in place of fresh ones")
    parser.add_argument("--jobs", type=int, default=2, help="how many servers, each with its share of the tests")
    parser.add_argument("--timeout", type=int, default=60, metavar="SECONDS", help="for each test")
    parser.add_argument("--out", type=Path, default=ROOT / "target/ceph-s3-tests")
    parser.add_argument("--compare", type=Path, metavar="TABLE", help="an earlier table; regressions are listed")
    parser.add_argument("--without-left-out", action="store_true", help="not the tests that the goal leaves out")
    parser.add_argument("--again", type=Path, metavar="TABLE", help="only those that did not pass there; others are taken over")
    parser.add_argument("-k", metavar="EXPRESSION", help="only these tests, as pytest chooses")
    parser.add_argument("-p", metavar="PLUGIN", action="append", default=[], help="a plugin for pytest")
    asked = parser.parse_args()
    # Ended from outside, the servers still end and their directories go.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
    try:
        return conform(asked)
    except CannotRun as error:
        print(f"ceph_s3_tests: {error}", file=sys.stderr)
        return 2


def conform(asked):
    """Runs what was asked for, and says what came of it; the exit code."""
    checkout, out = asked.checkout.resolve(), asked.out.resolve()
    if not (checkout / FILES[0]).exists():
        raise CannotRun(f"{checkout} is not a checkout of ceph/s3-tests")
    out.mkdir(parents=True, exist_ok=True)
    python = environment(out, checkout)
    jobs = 1 if asked.endpoint else asked.jobs
    chosen = ["-k", asked.k] if asked.k else []
    plugins = [word for plugin in asked.p for word in ("-p", plugin)]
    with contextlib.ExitStack() as servers:
        configs = []
        for job in range(jobs):
            if asked.endpoint:
                reach = (asked.endpoint, os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
            else:
                reach = servers.enter_context(server(asked.cairn.resolve(), out / f"server-{job}.log"))
            configs.append(out / f"s3tests-{job}.conf")
            write_config(configs[-1], python, *reach)
        names = collect(python, checkout, configs[0], chosen)
        groups, taken = {}, set()
        for group, marks in LEFT_OUT.items():
            groups[group] = set(collect(python, checkout, configs[0], [*chosen, "-m", " or ".join(marks)])) - taken
            taken |= groups[group]
        if asked.without_left_out:
            names, groups = [name for name in names if name not in taken], {}
        before = read_table(asked.again) if asked.again else {}
        kept = {name: before[short(name)] for name in names if before.get(short(name), ("",))[0] == "passed"}
        everything, names = names, [name for name in names if name not in kept]
        reports = [out / f"report-{job}.xml" for job in range(jobs)]
        failures, running = [], []

        def share(job):
            try:
                run_share(python, checkout, configs[job], names[job::jobs], reports[job], asked.timeout, plugins, running)
            except CannotRun as error:
                failures.append(error)

        threads = [threading.Thread(target=share, args=(job,)) for job in range(jobs) if names[job::jobs]]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            for child in running:
                child.terminate()
        if failures:
            raise failures[0]

    results = {short(name): result for name, result in kept.items()}
    for report in reports[: len(threads)]:
        results.update(read_report(report))
    names = [short(name) for name in everything]
    groups = {group: {short(name) for name in some} for group, some in groups.items()}
    missing = [name for name in names if name not in results]
    if missing:
        raise CannotRun(f"{len(missing)} tests have no result, {missing[0]} for one")

    earlier = read_table(asked.compare) if asked.compare else {}
    table = ["test\tresult\treason"]
    for name in names:
        result, reason = results[name]
        table.append(f"{name}\t{result}\t{reason}")
    (out / "table.tsv").write_text("\n".join(table) + "\n")
    print("\n".join(summary(names, results, groups)))
    print(f"each test: {out / 'table.tsv'}")
    regressions = [name for name in names if earlier.get(name, ("",))[0] == "passed" and results[name][0] != "passed"]
    gained = [name for name in names if earlier.get(name, ("passed",))[0] != "passed" and results[name][0] == "passed"]
    if asked.compare:
        print(f"{len(gained)} pass that did not, {len(regressions)} do not pass that did")
        for name in regressions:
            print(f"  regression: {name}: {results[name][0]}: {results[name][1]}")
    return 1 if regressions else 0


if __name__ == "__main__":
    sys.exit(main())

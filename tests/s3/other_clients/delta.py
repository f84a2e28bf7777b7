"""Delta tables: every commit is a PUT that must not replace another one, so writers at the same time must not lose rows."""
import os
import sys
import threading

import deltalake
import pyarrow as arrow
from pyarrow import fs

endpoint = sys.argv[1]
filesystem = fs.S3FileSystem(
    access_key=os.environ["AWS_ACCESS_KEY_ID"], secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
    endpoint_override=endpoint.removeprefix("http://"), scheme="http", region="us-east-1", allow_bucket_creation=True,
)  # fmt: skip
filesystem.create_dir("delta")
TABLE = "s3://delta/table"
OPTIONS = {
    "aws_endpoint_url": endpoint, "aws_allow_http": "true", "aws_region": "us-east-1", "aws_conditional_put": "etag",
    "aws_access_key_id": os.environ["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"],
}  # fmt: skip


def rows(start, count):
    return arrow.table({"n": arrow.array(range(start, start + count), arrow.int64())})


deltalake.write_deltalake(TABLE, rows(0, 10), storage_options=OPTIONS)
failures = []


def append(writer):
    try:
        for turn in range(5):
            deltalake.write_deltalake(TABLE, rows(1000 * (writer + 1) + 10 * turn, 10), mode="append", storage_options=OPTIONS)
    except Exception as error:
        failures.append(error)


writers = [threading.Thread(target=append, args=(writer,)) for writer in range(4)]
for writer in writers:
    writer.start()
for writer in writers:
    writer.join()
assert not failures, failures
table = deltalake.DeltaTable(TABLE, storage_options=OPTIONS)
assert table.version() == 20, table.version()
found = sorted(table.to_pyarrow_table()["n"].to_pylist())
wanted = sorted([*range(10), *(1000 * (writer + 1) + n for writer in range(4) for n in range(50))])
assert found == wanted, (len(found), len(wanted))
table.delete("n < 5")
table.optimize.compact()
table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
assert sorted(deltalake.DeltaTable(TABLE, storage_options=OPTIONS).to_pyarrow_table()["n"].to_pylist()) == wanted[5:]
print("all of it holds", flush=True)
# Arrow and Delta each have threads of their own, and now and then the interpreter's end finds one of them still running and
# aborts. Everything was said by then.
os._exit(0)

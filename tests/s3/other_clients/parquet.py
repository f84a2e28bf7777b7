"""Parquet files, written and read by Arrow; and by DuckDB where its extension for HTTP can be had."""
import os
import sys

import duckdb
import pyarrow as arrow
import pyarrow.dataset as dataset
from pyarrow import fs

endpoint = sys.argv[1]
access_key, secret_key = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
filesystem = fs.S3FileSystem(
    access_key=access_key, secret_key=secret_key, endpoint_override=endpoint.removeprefix("http://"), scheme="http",
    region="us-east-1", allow_bucket_creation=True, allow_bucket_deletion=True,
)  # fmt: skip
filesystem.create_dir("parquet")
COUNT = 2_000_000
table = arrow.table({"day": arrow.array([n % 7 for n in range(COUNT)], arrow.int8()), "n": arrow.array(range(COUNT), arrow.int64())})
dataset.write_dataset(table, "parquet/data", filesystem=filesystem, format="parquet", partitioning=["day"], partitioning_flavor="hive")
data = dataset.dataset("parquet/data", filesystem=filesystem, format="parquet", partitioning="hive")
assert data.count_rows() == COUNT
some = data.to_table(columns=["n"], filter=(dataset.field("day") == 3) & (dataset.field("n") < 70))
assert sorted(some["n"].to_pylist()) == list(range(3, 70, 7))

# One large file by parts: Arrow streams it without knowing its length.
with filesystem.open_output_stream("parquet/stream") as stream:
    for number in range(40):
        stream.write(bytes([number]) * (1 << 20))
with filesystem.open_input_file("parquet/stream") as file:
    assert file.size() == 40 << 20
    assert file.read_at(3, (7 << 20) - 1) == bytes([6, 7, 7])

connection = duckdb.connect()
try:
    connection.install_extension("httpfs")
    connection.load_extension("httpfs")
except duckdb.Error as error:
    # Extensions come from a server of their own, which is not always within reach.
    print("SKIPPED: DuckDB has no httpfs:", str(error).splitlines()[0])
else:
    connection.execute(
        f"CREATE SECRET (TYPE s3, KEY_ID '{access_key}', SECRET '{secret_key}', REGION 'us-east-1', "
        f"ENDPOINT '{endpoint.removeprefix('http://')}', URL_STYLE 'path', USE_SSL false)"
    )
    total = connection.execute("SELECT count(*), sum(n) FROM read_parquet('s3://parquet/data/*/*.parquet', hive_partitioning = true)")
    assert total.fetchone() == (COUNT, COUNT * (COUNT - 1) // 2)
    connection.execute("COPY (SELECT range AS n FROM range(3000000)) TO 's3://parquet/out.parquet'")
    assert connection.execute("SELECT max(n) FROM 's3://parquet/out.parquet'").fetchone() == (2999999,)
filesystem.delete_dir("parquet")
print("all of it holds")

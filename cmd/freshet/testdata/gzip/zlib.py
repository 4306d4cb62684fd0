"""Python's http.client and zlib: prints each line of a compressed stream as soon as it can be decoded."""

import http.client
import sys
import zlib
from urllib.parse import urlsplit

url = urlsplit(sys.argv[1])
connection = http.client.HTTPConnection(url.netloc)
connection.request("GET", f"{url.path}?{url.query}", headers={"Accept": "text/event-stream", "Accept-Encoding": "gzip"})
response = connection.getresponse()
assert response.headers["Content-Encoding"] == "gzip", response.headers
inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
while chunk := response.read1():
    sys.stdout.write(inflater.decompress(chunk).decode())
    sys.stdout.flush()
assert inflater.eof, "no trailer"
print("over", flush=True)

"""Python's http.client and nothing else: what a reader of streams has to do."""

import http.client
import sys
import time
from urllib.parse import urlsplit

url = urlsplit(sys.argv[1])
last_id, retry = "", 2.0

while True:
    try:
        connection = http.client.HTTPConnection(url.netloc, timeout=60)
        headers = {"Accept": "text/event-stream"}
        if last_id:
            headers["Last-Event-ID"] = last_id
        connection.request("GET", f"{url.path}?{url.query}", headers=headers)
        response = connection.getresponse()
        if response.status == 204:  # the topic has ended
            sys.exit()
        kind, data, event_id = "message", [], None
        while line := response.readline().decode():
            if not line.endswith("\n"):
                break  # cut within a line
            name, _, value = line.rstrip("\n").partition(":")
            value = value.removeprefix(" ")
            if name == "data":
                data.append(value)
            elif name == "event":
                kind = value
            elif name == "id":
                event_id = value
            elif name == "retry" and value.isdigit():
                retry = int(value) / 1000
            elif line == "\n":  # only whole events count, their ids too
                if data:
                    print(kind, "\n".join(data), sep="\t", flush=True)
                if event_id is not None:
                    last_id = event_id
                kind, data, event_id = "message", [], None
    except (OSError, http.client.HTTPException):
        pass
    time.sleep(retry)

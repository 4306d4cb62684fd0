// npm eventsource-client: an iterator over all events, freshet's own ones too. Comes back by itself.
import { createEventSource } from 'eventsource-client'

for await (const { event, data } of createEventSource(process.argv[2])) {
  console.log(`${event ?? 'message'}\t${data}`)
}

// npm eventsource: a browser's EventSource for Node. Comes back by itself.
import { EventSource } from 'eventsource'

const source = new EventSource(process.argv[2])
source.onmessage = (event) => console.log(`message\t${event.data}`)
source.addEventListener('goal', (event) => console.log(`goal\t${event.data}`))

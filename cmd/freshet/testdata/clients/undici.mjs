// undici's EventSource, which is also Node's own (node --experimental-eventsource). Comes back by
// itself, unless the program ends meanwhile: its wait does not keep Node running.
import { EventSource } from 'undici'

const source = new EventSource(process.argv[2])
source.onmessage = (event) => console.log(`message\t${event.data}`)
source.addEventListener('goal', (event) => console.log(`goal\t${event.data}`))
setInterval(() => {}, 1 << 30)

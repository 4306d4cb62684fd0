// npm @microsoft/fetch-event-source: made for browsers, so Node must lend it a window. It takes
// the end of a stream for the end of everything, unless onclose throws.
import client from '@microsoft/fetch-event-source'

globalThis.window = globalThis
globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} }

await client.fetchEventSource(process.argv[2], {
  openWhenHidden: true,
  onmessage: ({ event, data }) => console.log(`${event || 'message'}\t${data}`),
  onclose: () => { throw new Error('come back') },
  onerror: () => {}, // retry after the time that the relay named
})

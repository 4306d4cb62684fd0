// Node's fetch, which decodes by itself.
const response = await fetch(process.argv[2], { headers: { 'accept-encoding': 'gzip', accept: 'text/event-stream' } })
if (response.headers.get('content-encoding') !== 'gzip') throw new Error('not compressed')
for await (const text of response.body) process.stdout.write(text)
console.log('over')

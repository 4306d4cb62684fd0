// Node's http and zlib: prints a compressed stream as it is decoded.
import http from 'node:http'
import zlib from 'node:zlib'

http.get(process.argv[2], { headers: { 'accept-encoding': 'gzip', accept: 'text/event-stream' } }, (response) => {
  if (response.headers['content-encoding'] !== 'gzip') throw new Error(JSON.stringify(response.headers))
  const inflater = response.pipe(zlib.createGunzip()) // an error if the trailer is missing or wrong
  inflater.on('data', (text) => process.stdout.write(text))
  inflater.on('end', () => console.log('over'))
})

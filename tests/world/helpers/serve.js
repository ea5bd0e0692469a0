// An HTTP server on Node; argument: PORT.
require("http")
  .createServer((request, response) => response.end("hello from node\n"))
  .listen(Number(process.argv[2]));

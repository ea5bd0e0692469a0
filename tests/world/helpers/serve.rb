# A line server on Ruby's TCPServer; argument: PORT.
require "socket"

server = TCPServer.new(Integer(ARGV[0]))
loop do
  client = server.accept
  client.puts "hello from ruby, #{client.gets}"
  client.close
end

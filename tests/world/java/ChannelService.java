import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;

/** A service on java.nio's ServerSocketChannel, which Netty and Tomcat's NioEndpoint bind too. */
public class ChannelService {
    private static final byte[] ANSWER = "HTTP/1.0 200 OK\r\n\r\nhello from a channel\n".getBytes(StandardCharsets.US_ASCII);

    public static void main(String[] args) throws Exception {
        int port = Integer.parseInt(args[0]);
        ServerSocketChannel server = ServerSocketChannel.open().bind(new InetSocketAddress(port));
        System.out.println("ready " + port);
        while (true) {
            try (SocketChannel client = server.accept()) {
                client.read(ByteBuffer.allocate(4096));
                client.write(ByteBuffer.wrap(ANSWER));
            }
        }
    }
}

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.Socket;
import java.nio.charset.StandardCharsets;

/** A Redis client that keeps its connection, as a pool does. helpers/pooled_client.py does the same. */
public class PooledClient {
    public static void main(String[] args) throws IOException {
        Socket redis = new Socket(args[0], Integer.parseInt(args[1]));
        BufferedReader answers = lines(redis.getInputStream());
        System.out.println("ready " + end(redis.getLocalAddress().getHostAddress(), redis.getLocalPort())
                + " " + end(redis.getInetAddress().getHostAddress(), redis.getPort()));
        BufferedReader orders = lines(System.in);
        for (String order = orders.readLine(); order != null; order = orders.readLine()) {
            switch (order) {
                case "ping" -> {
                    redis.getOutputStream().write("PING\r\n".getBytes(StandardCharsets.US_ASCII));
                    System.out.println("answer " + answers.readLine());
                }
                case "follow" -> { // close after the other end has closed: no TIME_WAIT on this side
                    answers.readLine();
                    redis.close();
                    System.out.println("closed");
                }
                case "reset" -> { // RST: no TIME_WAIT either
                    redis.setSoLinger(true, 0);
                    redis.close();
                    System.out.println("closed");
                }
                default -> throw new IllegalArgumentException(order);
            }
        }
    }

    private static BufferedReader lines(java.io.InputStream stream) {
        return new BufferedReader(new InputStreamReader(stream, StandardCharsets.US_ASCII));
    }

    private static String end(String host, int port) {
        return host + ":" + port;
    }
}

/** A service that does nothing: what the wrapper runs. */
public final class Idle {
    public static void main(String[] arguments) throws InterruptedException {
        System.out.println("ready");
        Thread.sleep(Long.MAX_VALUE);
    }
}

import jakarta.servlet.ServletException;
import java.io.IOException;
import org.apache.catalina.connector.Request;
import org.apache.catalina.connector.Response;
import org.apache.catalina.startup.Tomcat;
import org.apache.catalina.valves.ValveBase;

/** A service on embedded Tomcat, as Spring Boot starts it; arguments: PORT FOLDER. */
public class TomcatService {
    public static void main(String[] args) throws Exception {
        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(args[1]);
        tomcat.setPort(Integer.parseInt(args[0]));
        tomcat.getConnector().setThrowOnFailure(true); // else Tomcat runs on without its connector
        tomcat.getHost().getPipeline().addValve(new Hello());
        tomcat.start();
        System.out.println("ready " + args[0]);
        tomcat.getServer().await();
    }

    /** Answers before any web application is asked. */
    private static class Hello extends ValveBase {
        @Override
        public void invoke(Request request, Response response) throws IOException, ServletException {
            response.getWriter().println("hello from tomcat");
        }
    }
}

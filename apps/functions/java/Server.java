// A function in Java: the body in capitals.
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;

public class Server {
	public static void main(String[] args) throws Exception {
		int port = Integer.parseInt(System.getenv("PORT"));
		HttpServer server = HttpServer.create(new InetSocketAddress("0.0.0.0", port), 64);

		server.createContext("/", exchange -> {
			byte[] body = exchange.getRequestBody().readAllBytes();
			byte[] answer = (new String(body, StandardCharsets.UTF_8).toUpperCase() + "\n")
				.getBytes(StandardCharsets.UTF_8);

			exchange.sendResponseHeaders(200, answer.length);
			exchange.getResponseBody().write(answer);
			exchange.close();
		});
		server.start();
	}
}

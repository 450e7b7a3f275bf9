import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs Kafka's command line tools one after another in one JVM, which is many times quicker than a JVM each.
 *
 * <p>On standard input, for each: its class, how many arguments and how many lines of input it has, and then these, a
 * line each. On standard output: what it wrote, each line behind a bar, and its exit status.
 */
public final class Tools {
  private static final List<Runnable> hooks = new ArrayList<>();
  private static final ByteArrayOutputStream written = new ByteArrayOutputStream();
  private static volatile CompletableFuture<Integer> status; // of the tool that runs

  public static void main(String[] args) throws Exception {
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
    PrintStream out = System.out;
    PrintStream capture = new PrintStream(written, true);
    System.setOut(capture); // once, as Scala remembers it
    System.setErr(capture);
    Exit.setExitProcedure((code, message) -> exit(code));
    Exit.setHaltProcedure((code, message) -> exit(code));
    Exit.setShutdownHookAdder((name, hook) -> hooks.add(hook));
    for (String name = in.readLine(); name != null; name = in.readLine()) {
      String[] arguments = new String[Integer.parseInt(in.readLine())];
      int lines = Integer.parseInt(in.readLine());
      for (int i = 0; i < arguments.length; i++) {
        arguments[i] = in.readLine();
      }
      System.setIn(new ByteArrayInputStream(read(in, lines).getBytes()));
      int exit = run(name, arguments);
      written.toString().lines().forEach(line -> out.println("|" + line));
      out.println(exit);
      out.flush();
      written.reset();
    }
    Runtime.getRuntime().halt(0);
  }

  private static String read(BufferedReader in, int lines) throws IOException {
    StringBuilder text = new StringBuilder();
    for (int i = 0; i < lines; i++) {
      text.append(in.readLine()).append('\n');
    }
    return text.toString();
  }

  /** Ends a tool, and so never returns to it. */
  private static void exit(int code) {
    status.complete(code);
    while (true) {
      LockSupport.park();
    }
  }

  private static int run(String name, String[] arguments) throws Exception {
    CompletableFuture<Integer> exited = new CompletableFuture<>();
    status = exited;
    hooks.clear();
    Thread tool = new Thread(() -> {
      try {
        Class.forName(name).getMethod("main", String[].class).invoke(null, (Object) arguments);
        exited.complete(0);
      } catch (ReflectiveOperationException e) {
        e.getCause().printStackTrace();
        exited.complete(1);
      }
    });
    tool.setDaemon(true);
    tool.start();
    int code = exited.get();
    hooks.forEach(Runnable::run); // as the end of the JVM would
    return code;
  }
}

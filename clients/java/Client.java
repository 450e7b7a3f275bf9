import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** The program of kafka-clients; package clients of Go says what it does. */
public final class Client {
  static final Duration POLL = Duration.ofMillis(100);

  public static void main(String[] args) throws Exception {
    String address = args[0];
    switch (args[1]) {
      case "produce" -> {
        int count = Integer.parseInt(args[3]);
        for (int i = 4; i < args.length; i++) {
          produce(address, args[2], args[i], (i - 4) * count, (i - 3) * count);
        }
      }
      case "consume" -> consume(address, args[2], Integer.parseInt(args[3]));
      case "follow" -> follow(address, List.of(args).subList(2, args.length));
      case "member" -> new Member(address, args[2], args.length > 4 ? args[4] : "classic").run(args[3]);
      case "transform" -> new Transform(address, args[2], args[5]).run(args[3], args[4]);
      case "admin" -> new AdminClient(address, args[2], args[3]).run();
      default -> throw new IllegalArgumentException(args[1]);
    }
  }

  /** Tells one line, in one piece and at once. */
  static synchronized void tell(String line) {
    System.out.println(line);
    System.out.flush();
  }

  /** Becomes true when standard input ends. */
  static AtomicBoolean leaving() {
    AtomicBoolean leaving = new AtomicBoolean();
    Thread reader = new Thread(() -> {
      try {
        while (System.in.read() >= 0) {}
      } catch (IOException e) {
        e.printStackTrace();
      }
      leaving.set(true);
    });
    reader.setDaemon(true);
    reader.start();
    return leaving;
  }

  static Properties properties(String address, Map<String, Object> more) {
    Properties p = new Properties();
    p.put("bootstrap.servers", address);
    p.putAll(more);
    return p;
  }

  static KafkaProducer<String, String> producer(String address, Map<String, Object> more) {
    return new KafkaProducer<>(properties(address, more), new StringSerializer(), new StringSerializer());
  }

  static KafkaConsumer<String, String> consumer(String address, Map<String, Object> more) {
    Properties p = properties(address, more);
    p.put("auto.offset.reset", "earliest");
    p.put("isolation.level", "read_committed");
    p.put("enable.auto.commit", "false");
    return new KafkaConsumer<>(p, new StringDeserializer(), new StringDeserializer());
  }

  static Map<String, Object> group(String name, String protocol) {
    if (protocol.equals("consumer")) {
      return Map.of("group.id", name, "group.protocol", protocol, "max.poll.records", 50);
    }
    return Map.of("group.id", name, "heartbeat.interval.ms", 200, "session.timeout.ms", 5000, "max.poll.records", 50);
  }

  static void produce(String address, String topic, String codec, int from, int to) throws Exception {
    AtomicReference<Exception> failure = new AtomicReference<>();
    try (var producer = producer(address, Map.of("compression.type", codec, "linger.ms", 5))) {
      for (int n = from; n < to; n++) {
        int number = n;
        var record = new ProducerRecord<>(topic, "k" + n % 10, String.valueOf(n));
        record.headers().add("codec", codec.getBytes());
        producer.send(record, (where, e) -> {
          if (e != null) {
            failure.compareAndSet(null, e);
          } else {
            tell("wrote " + where.partition() + " " + where.offset() + " " + number);
          }
        });
      }
    }
    if (failure.get() != null) {
      throw failure.get();
    }
  }

  static void consume(String address, String topic, int count) {
    try (var consumer = consumer(address, Map.of())) {
      List<TopicPartition> partitions = consumer.partitionsFor(topic).stream()
          .map(p -> new TopicPartition(topic, p.partition())).toList();
      consumer.assign(partitions);
      consumer.seekToBeginning(partitions);
      for (int read = 0; read < count; ) {
        for (var r : consumer.poll(POLL)) {
          tell("read " + r.partition() + " " + r.offset() + " " + r.value() + " " + r.key() + " "
              + new String(r.headers().lastHeader("codec").value()));
          read++;
        }
      }
    }
  }

  static void follow(String address, List<String> topics) {
    AtomicBoolean leaving = leaving();
    try (var consumer = consumer(address, Map.of())) {
      List<TopicPartition> partitions = topics.stream().flatMap(t -> consumer.partitionsFor(t).stream())
          .map(p -> new TopicPartition(p.topic(), p.partition())).toList();
      consumer.assign(partitions);
      consumer.seekToBeginning(partitions);
      while (!leaving.get()) {
        for (var r : consumer.poll(POLL)) {
          tell("read " + r.topic() + " " + r.partition() + " " + r.offset() + " "
              + new String(r.headers().lastHeader("label").value()));
        }
      }
    }
  }

  /** A member of a group that commits what it has handled. */
  static final class Member implements ConsumerRebalanceListener {
    final KafkaConsumer<String, String> consumer;
    final List<ConsumerRecord<String, String>> handled = new ArrayList<>(); // but not committed

    Member(String address, String group, String protocol) {
      consumer = consumer(address, group(group, protocol));
    }

    void run(String topic) {
      AtomicBoolean leaving = leaving();
      try (consumer) {
        consumer.subscribe(List.of(topic), this);
        while (!leaving.get()) {
          consumer.poll(POLL).forEach(handled::add);
          commit();
        }
      }
    }

    void commit() {
      if (handled.isEmpty()) {
        return;
      }
      try {
        consumer.commitSync();
      } catch (RebalanceInProgressException | CommitFailedException e) {
        return; // the next poll takes part in the rebalance
      }
      for (var r : handled) {
        tell("handled " + r.partition() + " " + r.offset() + " " + r.value());
      }
      handled.clear();
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> added) {
      tell("assigned " + consumer.assignment().size());
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> gone) {
      commit();
      onPartitionsLost(gone);
    }

    @Override
    public void onPartitionsLost(Collection<TopicPartition> gone) { // whoever has them next handles them again
      handled.removeIf(r -> gone.contains(new TopicPartition(r.topic(), r.partition())));
    }
  }
}

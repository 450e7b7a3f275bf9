import java.util.Map;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.state.Stores;

/**
 * An instance of a Kafka Streams application, which runs until standard input ends; streams_test.go says what it is
 * for. It takes its words from topic FROM by their last digits, and writes for the c-th time that word w came the
 * number (c - 1) * WORDS + w to topic TO.
 */
public final class Streams {
  static final int WORDS = 20;

  public static void main(String[] args) throws Exception {
    String address = args[0];
    StreamsBuilder builder = new StreamsBuilder();
    builder.<String, String>stream(args[2])
        .selectKey((key, number) -> String.valueOf(Integer.parseInt(number) % WORDS))
        .groupByKey() // through a topic of its own
        .count(Materialized.as(Stores.inMemoryKeyValueStore("counts")))
        .toStream()
        .mapValues((word, count) -> String.valueOf((count - 1) * WORDS + Integer.parseInt(word)))
        .to(args[3]);
    Properties properties = Client.properties(address, Map.of(
        StreamsConfig.APPLICATION_ID_CONFIG, args[1],
        StreamsConfig.STATE_DIR_CONFIG, args[4],
        StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2,
        StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0, // each count is written
        StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2,
        StreamsConfig.consumerPrefix("heartbeat.interval.ms"), 200,
        StreamsConfig.consumerPrefix("session.timeout.ms"), 5000,
        StreamsConfig.producerPrefix("transaction.timeout.ms"), 10_000));
    properties.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
    properties.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);

    KafkaStreams streams = new KafkaStreams(builder.build(), properties);
    streams.setUncaughtExceptionHandler(e -> {
      e.printStackTrace();
      return StreamThreadExceptionResponse.REPLACE_THREAD;
    });
    streams.setStateListener((state, before) -> Client.tell(state.toString().toLowerCase()));
    streams.start();
    while (System.in.read() >= 0) {}
    streams.close();
  }
}

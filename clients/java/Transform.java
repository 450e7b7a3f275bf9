import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.ProducerFencedException;

/** A member of a group that writes what it reads, in transactions. */
final class Transform implements ConsumerRebalanceListener {
  private final KafkaConsumer<String, String> consumer;
  private final KafkaProducer<String, String> producer;
  private int transactions;

  Transform(String address, String group, String id) {
    consumer = Client.consumer(address, Client.group(group, "classic"));
    producer = Client.producer(address, Map.of("transactional.id", id));
  }

  void run(String from, String to) {
    AtomicBoolean leaving = Client.leaving();
    try (consumer; producer) {
      producer.initTransactions();
      consumer.subscribe(List.of(from), this);
      while (!leaving.get()) {
        ConsumerRecords<String, String> records = consumer.poll(Client.POLL);
        if (!records.isEmpty()) {
          transact(records, to);
        }
      }
    }
  }

  private void transact(ConsumerRecords<String, String> records, String to) {
    boolean abort = ++transactions % 3 == 0;
    try {
      producer.beginTransaction();
      records.forEach(r -> producer.send(new ProducerRecord<>(to, r.key(), r.value())));
      producer.sendOffsetsToTransaction(records.nextOffsets(), consumer.groupMetadata());
      if (!abort) {
        producer.commitTransaction();
        Client.tell("committed " + records.count());
        return;
      }
      producer.flush();
    } catch (ProducerFencedException e) {
      throw e;
    } catch (KafkaException e) { // such as a rebalance meanwhile
      System.err.println(e);
    }
    producer.abortTransaction();
    if (abort) {
      Client.tell("aborted");
    }
    goBack();
  }

  /** Reads again what is not committed. */
  private void goBack() {
    Map<TopicPartition, OffsetAndMetadata> committed = new HashMap<>(consumer.committed(consumer.assignment()));
    for (TopicPartition p : consumer.assignment()) {
      if (committed.get(p) != null) {
        consumer.seek(p, committed.get(p).offset());
      } else {
        consumer.seekToBeginning(List.of(p));
      }
    }
  }

  @Override
  public void onPartitionsAssigned(Collection<TopicPartition> added) {
    Client.tell("assigned " + consumer.assignment().size());
  }

  @Override
  public void onPartitionsRevoked(Collection<TopicPartition> gone) {} // no transaction is open while polling
}

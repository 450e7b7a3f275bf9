import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.protocol.Errors;

/** What an administrator does. */
final class AdminClient {
  private final String address;
  private final String topic;
  private final String group;

  AdminClient(String address, String topic, String group) {
    this.address = address;
    this.topic = topic;
    this.group = group;
  }

  void run() throws Exception {
    try (Admin admin = Admin.create(Client.properties(address, Map.of()))) {
      topics(admin);
      configs(admin);
      groups(admin);
      records(admin);
      admin.deleteConsumerGroups(List.of(group)).all().get();
      Client.tell("group deleted");
      try {
        Client.tell("group " + admin.describeConsumerGroups(List.of(group)).describedGroups().get(group).get().groupState());
      } catch (ExecutionException e) {
        if (!(e.getCause() instanceof GroupIdNotFoundException)) {
          throw e;
        }
        Client.tell("group Dead");
      }
      admin.deleteTopics(List.of(topic)).all().get();
      Client.tell("delete ok");
      try {
        partitions(admin);
      } catch (ExecutionException e) {
        if (!(e.getCause() instanceof UnknownTopicOrPartitionException)) {
          throw e;
        }
        Client.tell("topic 3 unknown");
      }
    }
  }

  private void topics(Admin admin) throws Exception {
    var made = new NewTopic(topic, 2, (short) 1).configs(Map.of("retention.ms", "1000000"));
    admin.createTopics(List.of(made)).all().get();
    Client.tell("create ok");
    try {
      admin.createTopics(List.of(made)).all().get();
    } catch (ExecutionException e) {
      Client.tell("create again " + Errors.forException(e.getCause()).code());
    }
    Client.tell("topic " + partitions(admin));
    admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(4))).all().get();
    Client.tell("partitions " + partitions(admin));
  }

  private int partitions(Admin admin) throws Exception {
    return admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().size();
  }

  private void configs(Admin admin) throws Exception {
    var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
    Client.tell("config retention.ms=" + retention(admin, resource));
    var change = new AlterConfigOp(new ConfigEntry("retention.ms", "2000000"), AlterConfigOp.OpType.SET);
    admin.incrementalAlterConfigs(Map.of(resource, List.of(change))).all().get();
    Client.tell("config retention.ms=" + retention(admin, resource));
  }

  private String retention(Admin admin, ConfigResource resource) throws Exception {
    return admin.describeConfigs(List.of(resource)).all().get().get(resource).get("retention.ms").value();
  }

  private void groups(Admin admin) throws Exception {
    var partition = new TopicPartition(topic, 0);
    admin.alterConsumerGroupOffsets(group, Map.of(partition, new OffsetAndMetadata(7))).all().get();
    Client.tell("group " + admin.describeConsumerGroups(List.of(group)).describedGroups().get(group).get().groupState());
    if (admin.listGroups().all().get().stream().anyMatch(g -> g.groupId().equals(group))) {
      Client.tell("groups listed");
    }
    Client.tell("offset 0=" + offset(admin, partition));
    admin.alterConsumerGroupOffsets(group, Map.of(partition, new OffsetAndMetadata(3))).all().get();
    Client.tell("offset 0=" + offset(admin, partition));
    admin.deleteConsumerGroupOffsets(group, Set.of(partition)).all().get();
    Client.tell("offset 0=" + offset(admin, partition));
  }

  private String offset(Admin admin, TopicPartition partition) throws Exception {
    var offsets = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
    return Optional.ofNullable(offsets.get(partition)).map(o -> String.valueOf(o.offset())).orElse("none");
  }

  private void records(Admin admin) throws Exception {
    var partition = new TopicPartition(topic, 0);
    try (var producer = Client.producer(address, Map.of())) {
      for (int n = 0; n < 10; n++) {
        producer.send(new ProducerRecord<>(topic, 0, null, String.valueOf(n)));
      }
    }
    var deleted = admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(5)));
    Client.tell("records " + deleted.lowWatermarks().get(partition).get().lowWatermark());
  }
}

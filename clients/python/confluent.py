"""The program of confluent-kafka, which is librdkafka; see doc.go."""

import confluent_kafka
from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from telling import leaving, main, tell

POLL = 0.1  # seconds


def consumer(address, group, more=None):
    return Consumer({
        "bootstrap.servers": address,
        "group.id": group,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "fetch.wait.max.ms": 100,
        **(more or {}),
    })


def membership(protocol="classic"):
    if protocol == "consumer":
        return {"group.protocol": protocol}
    return {"session.timeout.ms": 5000, "heartbeat.interval.ms": 200, "partition.assignment.strategy": "range"}


def good(message):
    if message.error():
        raise KafkaException(message.error())
    return message


def produce(address, topic, count, *codecs):
    for i, codec in enumerate(codecs):
        produce_range(address, topic, codec, range(i * int(count), (i + 1) * int(count)))


def produce_range(address, topic, codec, numbers):
    p = Producer({"bootstrap.servers": address, "enable.idempotence": True, "compression.type": codec, "linger.ms": 5})
    faults = []

    def acked(error, message):
        if error:
            faults.append(error)
        else:
            tell("wrote", message.partition(), message.offset(), message.value().decode())

    for n in numbers:
        p.produce(topic, key=f"k{n % 10}", value=str(n), headers={"codec": codec}, on_delivery=acked)
        p.poll(0)
    p.flush()
    if faults:
        raise KafkaException(faults[0])


def consume(address, topic, count):
    c = consumer(address, "none")
    partitions = c.list_topics(topic).topics[topic].partitions
    c.assign([TopicPartition(topic, p, confluent_kafka.OFFSET_BEGINNING) for p in partitions])
    read = 0
    while read < int(count):
        for m in map(good, c.consume(1000, POLL)):
            tell("read", m.partition(), m.offset(), m.value().decode(), m.key().decode(), dict(m.headers())["codec"].decode())
            read += 1
    c.close()


def follow(address, *topics):
    c = consumer(address, "none", {"metadata.recovery.strategy": "none"})
    has = c.list_topics().topics
    c.assign([TopicPartition(t, p, confluent_kafka.OFFSET_BEGINNING) for t in topics for p in has[t].partitions])
    left = leaving()
    while not left.is_set():
        for m in c.consume(1000, POLL):
            if m.error():
                if m.error().retriable() or m.error().code() == KafkaError._TRANSPORT:
                    continue  # the broker was killed
                raise KafkaException(m.error())
            tell("read", m.topic(), m.partition(), m.offset(), dict(m.headers())["label"].decode())
    c.close()


class Member:
    """A member of a group that commits what it has handled."""

    def __init__(self, address, group, topic, protocol="classic"):
        self.consumer = consumer(address, group, membership(protocol))
        self.handled = []  # but not committed
        self.has = set()  # in the consumer protocol partitions come and go one by one
        self.consumer.subscribe([topic], on_assign=self.assigned, on_revoke=self.revoked, on_lost=self.lost)

    def run(self):
        left = leaving()
        while not left.is_set():
            self.handled += map(good, self.consumer.consume(50, POLL))
            self.commit()
        self.consumer.close()

    def commit(self):
        if not self.handled:
            return
        ends = {(m.topic(), m.partition()): m.offset() + 1 for m in self.handled}
        offsets = [TopicPartition(t, p, offset) for (t, p), offset in ends.items()]
        try:
            for p in self.consumer.commit(offsets=offsets, asynchronous=False):
                if p.error:
                    raise KafkaException(p.error)
        except KafkaException as e:
            if e.args[0].code() not in (
                KafkaError.REBALANCE_IN_PROGRESS, KafkaError.ILLEGAL_GENERATION, KafkaError.UNKNOWN_MEMBER_ID,
                KafkaError.STALE_MEMBER_EPOCH,
            ):
                raise
            return  # the next poll takes part in the rebalance
        for m in self.handled:
            tell("handled", m.partition(), m.offset(), m.value().decode())
        self.handled = []

    def assigned(self, c, partitions):
        self.has |= {p.partition for p in partitions}
        tell("assigned", len(self.has))

    def revoked(self, c, partitions):
        self.commit()
        self.lost(c, partitions)

    def lost(self, c, partitions):  # whoever has them next handles them again
        gone = {p.partition for p in partitions}
        self.has -= gone
        tell("assigned", len(self.has))
        self.handled = [m for m in self.handled if m.partition() not in gone]


class Transform:
    """A member of a group that writes what it reads, in transactions."""

    def __init__(self, address, group, start, to, identity):
        self.to = to
        self.consumer = consumer(address, group, membership())
        self.producer = Producer({
            "bootstrap.servers": address,
            "transactional.id": identity,
            # librdkafka 2.16 bootstraps anew when all brokers are gone, and then waits for good for one that it
            # has put away: with Apache Kafka as well.
            "metadata.recovery.strategy": "none",
        })
        self.producer.init_transactions()
        self.consumer.subscribe([start], on_assign=lambda c, partitions: tell("assigned", len(partitions)))

    def run(self):
        left = leaving()
        transactions = 0
        while not left.is_set():
            messages = list(map(good, self.consumer.consume(50, POLL)))
            if messages:
                transactions += 1
                self.transact(messages, transactions % 3 == 0)
        self.consumer.close()

    def transact(self, messages, abort):
        ends = {(m.topic(), m.partition()): m.offset() + 1 for m in messages}
        try:
            self.producer.begin_transaction()
            for m in messages:
                self.producer.produce(self.to, key=m.key(), value=m.value())
            self.producer.send_offsets_to_transaction(
                [TopicPartition(t, p, offset) for (t, p), offset in ends.items()],
                self.consumer.consumer_group_metadata(),
            )
            if not abort:
                self.producer.commit_transaction()
                tell("committed", len(messages))
                return
            self.producer.flush()
        except KafkaException as e:
            if not e.args[0].txn_requires_abort():
                raise
        self.producer.abort_transaction()
        if abort:
            tell("aborted")
        self.go_back(messages)

    def go_back(self, messages):
        """Reads again what is not committed."""
        mine = {(p.topic, p.partition) for p in self.consumer.assignment()}
        starts = {}
        for m in messages:
            starts.setdefault((m.topic(), m.partition()), m.offset())
        for (topic, partition), offset in starts.items():
            if (topic, partition) in mine:
                self.consumer.seek(TopicPartition(topic, partition, offset))


class Admin:
    """What an administrator does."""

    def __init__(self, address, topic, group):
        self.address, self.topic, self.group = address, topic, group
        self.admin = AdminClient({"bootstrap.servers": address})

    def run(self):
        self.topics()
        self.configs()
        self.groups()
        self.records()
        self.only(self.admin.delete_consumer_groups([self.group]))
        tell("group deleted")
        try:
            tell("group", self.state())
        except KafkaException as e:
            if e.args[0].code() != KafkaError.GROUP_ID_NOT_FOUND:
                raise
            tell("group Dead")
        self.only(self.admin.delete_topics([self.topic]))
        tell("delete ok")
        try:
            self.partitions()
        except KafkaException as e:
            tell("topic", e.args[0].code(), "unknown")

    @staticmethod
    def only(futures):
        (future,) = futures.values()
        return future.result()

    def topics(self):
        def create():
            self.only(self.admin.create_topics([NewTopic(self.topic, 2, 1, config={"retention.ms": "1000000"})]))

        create()
        tell("create ok")
        try:
            create()
        except KafkaException as e:
            tell("create again", e.args[0].code())
        tell("topic", self.partitions())
        self.only(self.admin.create_partitions([NewPartitions(self.topic, 4)]))
        tell("partitions", self.partitions())

    def partitions(self):
        return len(self.only(self.admin.describe_topics(TopicCollection([self.topic]))).partitions)

    def configs(self):
        def retention():
            entries = self.only(self.admin.describe_configs([ConfigResource(ResourceType.TOPIC, self.topic)]))
            return "retention.ms=" + entries["retention.ms"].value

        tell("config", retention())
        change = ConfigEntry("retention.ms", "2000000", incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, self.topic, incremental_configs=[change])
        self.only(self.admin.incremental_alter_configs([resource]))
        tell("config", retention())

    def state(self):
        name = self.only(self.admin.describe_consumer_groups([self.group])).state.name
        return name.capitalize()

    def groups(self):
        self.alter(7)
        tell("group", self.state())
        if any(g.group_id == self.group for g in self.admin.list_consumer_groups().result().valid):
            tell("groups listed")
        tell("offset", self.offset())
        self.alter(3)
        tell("offset", self.offset())

    def alter(self, offset):
        where = ConsumerGroupTopicPartitions(self.group, [TopicPartition(self.topic, 0, offset)])
        self.only(self.admin.alter_consumer_group_offsets([where]))

    def offset(self):
        where = ConsumerGroupTopicPartitions(self.group, [TopicPartition(self.topic, 0)])
        (p,) = self.only(self.admin.list_consumer_group_offsets([where])).topic_partitions
        return f"0={p.offset if p.offset >= 0 else 'none'}"

    def records(self):
        p = Producer({"bootstrap.servers": self.address})
        for n in range(10):
            p.produce(self.topic, str(n), partition=0)
        p.flush()
        deleted = self.only(self.admin.delete_records([TopicPartition(self.topic, 0, 5)]))
        tell("records", deleted.low_watermark)


main({
    "produce": produce,
    "consume": consume,
    "follow": follow,
    "member": lambda *args: Member(*args).run(),
    "transform": lambda *args: Transform(*args).run(),
    "admin": lambda *args: Admin(*args).run(),
})

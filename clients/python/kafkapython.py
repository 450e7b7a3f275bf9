"""The program of kafka-python; see doc.go."""

from kafka import ConsumerRebalanceListener, KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource
from kafka.errors import (
    CommitFailedError,
    IllegalGenerationError,
    KafkaError,
    RebalanceInProgressError,
    TopicAlreadyExistsError,
    UnknownMemberIdError,
)
from kafka.structs import OffsetAndMetadata

from telling import leaving, main, tell

POLL = 100  # milliseconds
REBALANCE = (CommitFailedError, IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError)


def consumer(address, **more):
    return KafkaConsumer(bootstrap_servers=address, auto_offset_reset="earliest", isolation_level="read_committed",
                         enable_auto_commit=False, fetch_max_wait_ms=POLL, **more)


def member_of(address, group):
    return consumer(address, group_id=group, session_timeout_ms=5000, heartbeat_interval_ms=200, max_poll_records=50)


def join(c, topic, listener):
    """Subscribes a member, which knows the topic's partitions before it polls. Else it joins without them, and again
    once it knows them. kafka-python 3.0 does not come back to that second join if a poll's time is over between the
    answers to its JoinGroup and its SyncGroup, and has no partitions for good: with Apache Kafka as well."""
    c.subscribe([topic], listener=listener)
    c.partitions_for_topic(topic)  # what it learns before it subscribes does not count


def ends(records):
    """Returns what to commit once the records, of each partition in order, are handled."""
    return {TopicPartition(r.topic, r.partition): OffsetAndMetadata(r.offset + 1, "", -1) for r in records}


def poll(c):
    return [r for records in c.poll(POLL).values() for r in records]


def produce(address, topic, count, *codecs):
    for i, codec in enumerate(codecs):
        produce_range(address, topic, codec, range(i * int(count), (i + 1) * int(count)))


def produce_range(address, topic, codec, numbers):
    p = KafkaProducer(bootstrap_servers=address, enable_idempotence=True, linger_ms=5,
                      compression_type=None if codec == "none" else codec)
    sent = []
    for n in numbers:
        sent.append((n, p.send(topic, str(n).encode(), f"k{n % 10}".encode(), [("codec", codec.encode())])))
    p.flush()
    for n, future in sent:
        where = future.get()
        tell("wrote", where.partition, where.offset, n)
    p.close()


def consume(address, topic, count):
    c = consumer(address)
    partitions = [TopicPartition(topic, p) for p in c.partitions_for_topic(topic)]
    c.assign(partitions)
    c.seek_to_beginning(*partitions)
    read = 0
    while read < int(count):
        for r in poll(c):
            tell("read", r.partition, r.offset, r.value.decode(), r.key.decode(), dict(r.headers)["codec"].decode())
            read += 1
    c.close()


class Member(ConsumerRebalanceListener):
    """A member of a group that commits what it has handled."""

    def __init__(self, address, group, topic):
        self.consumer = member_of(address, group)
        self.handled = []  # but not committed
        join(self.consumer, topic, self)

    def run(self):
        left = leaving()
        while not left.is_set():
            self.handled += poll(self.consumer)
            self.commit()
        self.consumer.close(autocommit=False)

    def commit(self):
        if not self.handled:
            return
        try:
            self.consumer.commit(ends(self.handled))
        except REBALANCE:
            return  # the next poll takes part in the rebalance
        for r in self.handled:
            tell("handled", r.partition, r.offset, r.value.decode())
        self.handled = []

    def on_partitions_assigned(self, assigned):
        tell("assigned", len(self.consumer.assignment()))

    def on_partitions_revoked(self, revoked):
        self.commit()
        self.on_partitions_lost(revoked)

    def on_partitions_lost(self, lost):  # whoever has them next handles them again
        self.handled = [r for r in self.handled if TopicPartition(r.topic, r.partition) not in lost]


class Transform(ConsumerRebalanceListener):
    """A member of a group that writes what it reads, in transactions."""

    def __init__(self, address, group, start, to, identity):
        self.to = to
        self.consumer = member_of(address, group)
        self.producer = KafkaProducer(bootstrap_servers=address, transactional_id=identity)
        self.producer.init_transactions()
        join(self.consumer, start, self)

    def run(self):
        left = leaving()
        transactions = 0
        while not left.is_set():
            records = poll(self.consumer)
            if records:
                transactions += 1
                self.transact(records, transactions % 3 == 0)
        self.consumer.close(autocommit=False)
        self.producer.close()

    def transact(self, records, abort):
        try:
            self.producer.begin_transaction()
            for r in records:
                self.producer.send(self.to, r.value, r.key)
            self.producer.send_offsets_to_transaction(ends(records), self.consumer.group_metadata())
            if not abort:
                self.producer.commit_transaction()
                tell("committed", len(records))
                return
            self.producer.flush()
        except REBALANCE:
            pass
        self.producer.abort_transaction()
        if abort:
            tell("aborted")
        self.go_back(records)

    def go_back(self, records):
        """Reads again what is not committed."""
        for r in reversed(records):
            if TopicPartition(r.topic, r.partition) in self.consumer.assignment():
                self.consumer.seek(TopicPartition(r.topic, r.partition), r.offset)

    def on_partitions_assigned(self, assigned):
        tell("assigned", len(self.consumer.assignment()))

    def on_partitions_revoked(self, revoked):
        pass  # no transaction is open while polling


class Admin:
    """What an administrator does."""

    def __init__(self, address, topic, group):
        self.address, self.topic, self.group = address, topic, group
        self.first = TopicPartition(topic, 0)
        self.admin = KafkaAdminClient(bootstrap_servers=address)

    def run(self):
        self.topics()
        self.configs()
        self.groups()
        self.records()
        self.admin.delete_groups([self.group])
        tell("group deleted")
        try:
            tell("group", self.state())
        except KafkaError as e:
            tell("group", "Dead" if e.errno == 69 else repr(e))
        self.admin.delete_topics([self.topic])
        tell("delete ok")
        (topic,) = self.admin.describe_topics([self.topic])
        tell("topic", topic["error_code"], "unknown")
        self.admin.close()

    def topics(self):
        new = {self.topic: {"num_partitions": 2, "replication_factor": 1, "configs": {"retention.ms": "1000000"}}}
        self.admin.create_topics(new)
        tell("create ok")
        try:
            self.admin.create_topics(new)
        except TopicAlreadyExistsError as e:
            tell("create again", e.errno)
        tell("topic", self.partitions())
        self.admin.create_partitions({self.topic: 4})
        tell("partitions", self.partitions())

    def partitions(self):
        (topic,) = self.admin.describe_topics([self.topic])
        return len(topic["partitions"])

    def configs(self):
        def retention():
            described = self.admin.describe_configs([ConfigResource("topic", self.topic)])
            return "retention.ms=" + described["topic"][self.topic]["retention.ms"]["value"]

        tell("config", retention())
        self.admin.alter_configs([ConfigResource("topic", self.topic, {"retention.ms": "2000000"})])
        tell("config", retention())

    def state(self):
        return self.admin.describe_groups([self.group])[self.group]["group_state"]

    def groups(self):
        self.alter(7)
        tell("group", self.state())
        if any(g["group_id"] == self.group for g in self.admin.list_groups()):
            tell("groups listed")
        tell("offset", self.offset())
        self.alter(3)
        tell("offset", self.offset())
        self.admin.delete_group_offsets(self.group, [self.first])
        tell("offset", self.offset())

    def alter(self, offset):
        self.admin.alter_group_offsets(self.group, {self.first: OffsetAndMetadata(offset, "", -1)})

    def offset(self):
        committed = self.admin.list_group_offsets({self.group: [self.first]})[self.group].get(self.first)
        return f"0={committed.offset if committed and committed.offset >= 0 else 'none'}"

    def records(self):
        p = KafkaProducer(bootstrap_servers=self.address)
        for n in range(10):
            p.send(self.topic, str(n).encode(), partition=0)
        p.close()
        deleted = self.admin.delete_records({self.first: 5})
        tell("records", deleted[self.first]["low_watermark"])


main({
    "produce": produce,
    "consume": consume,
    "member": lambda *args: Member(*args).run(),
    "transform": lambda *args: Transform(*args).run(),
    "admin": lambda *args: Admin(*args).run(),
})

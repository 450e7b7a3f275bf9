package broker

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/group"
	"github.com/hapaxmq/hapax/broker/partition"
	"github.com/hapaxmq/hapax/broker/txn"
)

// settings are the node's, in force since it was opened.
type settings struct {
	catalog catalog
	topics  catalog // what topics may have
	groups  catalog // what groups may have
	given   Settings

	partitions  int32 // num.partitions
	autoCreate  bool  // auto.create.topics.enable
	mayDelete   bool  // delete.topic.enable
	maxRequest  int   // socket.request.max.bytes
	maxQueued   int64 // queued.max.request.bytes; 0: no bound
	mostOfAll   int   // max.partitions
	maxFetch    int   // fetch.max.bytes
	maxConns    int   // max.connections
	maxConnsPer int   // max.connections.per.ip

	maxIdle          time.Duration // connections.max.idle.ms
	maxReauth        time.Duration // connections.max.reauth.ms
	failedLoginDelay time.Duration // connection.failed.authentication.delay.ms
	maxToken         int           // sasl.server.max.receive.size
	mechanisms       []string      // sasl.enabled.mechanisms
}

// parseSettings takes settings over that were given.
func parseSettings(given Settings) (s settings, err error) {
	s = settings{catalog: newCatalog(nodeSettings()), topics: newCatalog(topicSettings()), groups: newCatalog(groupSettings()), given: given}
	if err := s.catalog.checkNode(given); err != nil {
		return s, err
	}
	s.partitions = int32(s.number("num.partitions"))
	s.autoCreate = s.value("auto.create.topics.enable") == "true"
	s.mayDelete = s.value("delete.topic.enable") == "true"
	s.maxRequest = int(s.number("socket.request.max.bytes"))
	s.maxQueued = max(s.number(queuedBytes), 0)
	if _, ok := given[queuedBytes]; ok && s.maxQueued > 0 && s.maxQueued < int64(s.maxRequest) {
		return s, refuseSetting(queuedBytes, "setting %s=%d: want socket.request.max.bytes at least, %d, or -1 for no bound: the longest request would find no memory", queuedBytes, s.maxQueued, s.maxRequest)
	}
	s.mostOfAll = int(s.number("max.partitions"))
	s.maxFetch = int(s.number("fetch.max.bytes"))
	s.takeSecurity()
	err = s.checkConsumers("group.", s.number("group.consumer.session.timeout.ms"), s.number("group.consumer.heartbeat.interval.ms"))
	return s, err
}

// value is that of a setting of the node, given or by default.
func (s *settings) value(name string) string {
	if v, ok := s.given[name]; ok {
		return v
	}
	return s.catalog[name].value
}

// number is the value of a setting that is one.
func (s *settings) number(name string) int64 {
	n, _ := strconv.ParseInt(s.value(name), 10, 64) // it was checked
	return n
}

func (s *settings) group() group.Settings {
	g := group.Defaults()
	g.MinSession = int32(s.number("group.min.session.timeout.ms"))
	g.MaxSession = int32(s.number("group.max.session.timeout.ms"))
	g.InitialDelay = int32(s.number("group.initial.rebalance.delay.ms"))
	if _, ok := s.given["group.max.size"]; ok {
		g.MaxMembers = int(s.number("group.max.size"))
	}
	g.ConsumerSession = int32(s.number("group.consumer.session.timeout.ms"))
	g.ConsumerInterval = int32(s.number("group.consumer.heartbeat.interval.ms"))
	if _, ok := s.given["group.consumer.max.size"]; ok {
		g.MaxConsumers = int(s.number("group.consumer.max.size"))
	}
	g.Assignors = assignors(s.value("group.consumer.assignors"))
	g.MaxOffsetMetadata = int(s.number("offset.metadata.max.bytes"))
	g.OffsetRetention = s.number("offsets.retention.minutes") * 60_000
	return g
}

func (s *settings) txn() txn.Settings {
	return txn.Settings{
		MaxTimeoutMs: int32(s.number("transaction.max.timeout.ms")),
		ExpireMs:     s.number("transactional.id.expiration.ms"),
	}
}

func (s *settings) partition() partition.Settings {
	return partition.Settings{ProducerExpiry: s.number("producer.id.expiration.ms")}
}

// queuedBytes is a setting's name.
const queuedBytes = "queued.max.request.bytes"

const most32 = math.MaxInt32

// nodeSettings are those that a node may be given. Kafka has some more, of which
// those are left out that have no sense without what they are about: replicas,
// controllers, remote storage, quotas.
func nodeSettings() []setting {
	all := nodeLimits()
	all = append(all, nodeSecurity()...)
	all = append(all, nodeLogs()...)
	all = append(all, nodeGroups()...)
	for name, value := range idle() {
		all = append(all, setting{name: name, kind: text32, value: value, effect: nothing, doc: "Accepted; it means nothing on one node."})
	}
	return all
}

func nodeLimits() []setting {
	return []setting{
		{name: "num.partitions", kind: integer, value: "1", low: 1, high: maxPartitions, doc: "Partitions of a topic that is made without saying how many."},
		{name: "auto.create.topics.enable", kind: boolean, value: "true", doc: "Whether a topic is made when a client asks for it."},
		{name: "delete.topic.enable", kind: boolean, value: "true", doc: "Whether topics may be deleted."},
		{name: "default.replication.factor", kind: integer, value: "1", low: 1, high: math.MaxInt16, effect: nothing, doc: "There is one copy, whatever it says."},
		{name: "min.insync.replicas", kind: integer, value: "1", low: 1, high: most32, effect: nothing, doc: "There is one copy, and it is durable before it is acknowledged."},
		{name: "message.max.bytes", kind: integer, value: "1048588", low: 0, high: most32, doc: "Bytes of a batch of records, compressed as it may be."},
		{name: "socket.request.max.bytes", kind: integer, value: "104857600", low: 1024, high: most32, doc: "Bytes of a request."},
		{name: queuedBytes, kind: long, value: "536870912", low: math.MinInt64, high: math.MaxInt64, doc: "Bytes of memory of all connections' requests together, while they come and are handled; those of up to 65536 bytes are not counted. One that finds none waits. 0 or less is no bound, which is Kafka's default. Unless it is set, there are as many as the longest request may have, if that is more."},
		{name: "max.partitions", kind: integer, value: "100000", low: 1, high: most32, doc: "Partitions of all topics together: no more are made. Kafka has no bound (KIP-578 would be one)."},
		{name: "fetch.max.bytes", kind: integer, value: "57671680", low: 1024, high: most32, doc: "Bytes of records in the answer to a fetch."},
		{name: "compression.type", kind: text32, value: asProduced, choices: codecs(), doc: "How batches are compressed that are kept: as their producer did it, or all alike."},
	}
}

func nodeLogs() []setting {
	return []setting{
		{name: "log.retention.ms", kind: long, value: "", low: -1, high: math.MaxInt64, doc: "How long records are kept, in milliseconds. -1 is for good."},
		{name: "log.retention.minutes", kind: integer, value: "", low: -1, high: most32, doc: "The same in minutes, unless it is said in milliseconds."},
		{name: "log.retention.hours", kind: integer, value: "168", low: -1, high: most32, doc: "The same in hours, unless it is said in milliseconds or minutes."},
		{name: "log.retention.bytes", kind: long, value: "-1", doc: "How many bytes of records a partition keeps. -1 is all, and so is all below."},
		{name: "log.retention.check.interval.ms", kind: long, value: "300000", low: 1, high: math.MaxInt64, doc: "How often it is looked for records to let go."},
		{name: "log.cleanup.policy", kind: list, value: "delete", choices: []string{"delete", "compact"}, doc: "What becomes of old records: they go, or the last one of each key stays, or both."},
		{name: "log.cleaner.enable", kind: boolean, value: "true", doc: "Whether topics are compacted that want to be."},
		{name: "log.cleaner.backoff.ms", kind: long, value: "15000", low: 1, high: math.MaxInt64, doc: "How often it is looked for records to compact, and for batches to regroup."},
		{name: "log.cleaner.dedupe.buffer.size", kind: long, value: "134217728", low: 1 << 20, high: math.MaxInt64, doc: "Bytes of memory for the keys of one compaction; with more keys it takes several."},
		{name: "log.cleaner.min.cleanable.ratio", kind: double, value: "0.5", high: 1, doc: "The share of the bytes that were not compacted at which a partition is."},
		{name: "log.cleaner.min.compaction.lag.ms", kind: long, value: "0", low: 0, high: math.MaxInt64, doc: "How long compaction leaves a record alone."},
		{name: "log.cleaner.max.compaction.lag.ms", kind: long, value: "9223372036854775807", low: 1, high: math.MaxInt64, doc: "How long it does at most."},
		{name: "log.cleaner.delete.retention.ms", kind: long, value: "86400000", low: 0, high: math.MaxInt64, doc: "How long compaction keeps that a key was deleted."},
		{name: "log.message.timestamp.type", kind: text32, value: createTime, choices: []string{createTime, logAppendTime}, doc: "Whose time a record has: its producer's or the node's."},
		{name: "log.message.timestamp.before.max.ms", kind: long, value: "9223372036854775807", low: 0, high: math.MaxInt64, doc: "How far a record's time may lie back, unless it is the node's."},
		{name: "log.message.timestamp.after.max.ms", kind: long, value: "3600000", low: 0, high: math.MaxInt64, doc: "How far a record's time may lie ahead, unless it is the node's."},
		{name: "hapax.log.file.bytes", kind: integer, value: "134217728", low: 64 << 10, high: 1 << 30, doc: "Bytes of a file of the log, which all partitions share. A start reads one."},
		{name: "log.segment.bytes", kind: integer, value: "1073741824", low: 14, high: most32, doc: "How many of a partition's newest bytes compaction leaves alone. All partitions share the files of one log, whose size is its own."},
		{name: "log.roll.ms", kind: long, value: "", low: 1, high: math.MaxInt64, doc: "From which age on it does not."},
		{name: "log.roll.hours", kind: integer, value: "168", low: 1, high: most32, doc: "The same in hours, unless it is said in milliseconds."},
		{name: "log.flush.interval.messages", kind: long, value: "9223372036854775807", effect: nothing, low: 1, high: math.MaxInt64, doc: "Every batch is flushed before it is acknowledged."},
		{name: "log.flush.interval.ms", kind: long, value: "", effect: nothing, low: 0, high: math.MaxInt64, doc: "Every batch is flushed before it is acknowledged."},
	}
}

func nodeGroups() []setting {
	return []setting{
		{name: "group.min.session.timeout.ms", kind: integer, value: "6000", low: 1, high: most32, doc: "The shortest session timeout that a member may ask for."},
		{name: "group.max.session.timeout.ms", kind: integer, value: "1800000", low: 1, high: most32, doc: "The longest."},
		{name: "group.initial.rebalance.delay.ms", kind: integer, value: "3000", low: 0, high: most32, doc: "How long a new group waits for more members."},
		{name: "group.max.size", kind: integer, value: "2147483647", low: 1, high: most32, doc: "Members of a group. Without it, 4096 are the most."},
		{name: "group.consumer.session.timeout.ms", kind: integer, value: "45000", low: 1, high: most32, doc: "How long a member of the consumer protocol may show no life."},
		{name: "group.consumer.min.session.timeout.ms", kind: integer, value: "45000", low: 1, high: most32, doc: "The shortest that this may be, of all groups or of one."},
		{name: "group.consumer.max.session.timeout.ms", kind: integer, value: "60000", low: 1, high: most32, doc: "The longest."},
		{name: "group.consumer.heartbeat.interval.ms", kind: integer, value: "5000", low: 1, high: most32, doc: "How often such a member is to show life."},
		{name: "group.consumer.min.heartbeat.interval.ms", kind: integer, value: "5000", low: 1, high: most32, doc: "The shortest that this may be, of all groups or of one."},
		{name: "group.consumer.max.heartbeat.interval.ms", kind: integer, value: "15000", low: 1, high: most32, doc: "The longest."},
		{name: "group.consumer.max.size", kind: integer, value: "2147483647", low: 1, high: most32, doc: "Members of a group of the consumer protocol. Without it, 4096 are the most."},
		{name: "group.consumer.assignors", kind: list, value: "uniform,range", choices: assignorNames(), doc: "Who shares partitions out in groups of the consumer protocol; the first, unless members ask for another."},
		{name: "group.consumer.migration.policy", kind: text32, value: "disabled", choices: []string{"disabled", "upgrade", "downgrade", "bidirectional"}, effect: notYet, doc: "Whether a group changes its protocol while it has members. It does so only without."},
		{name: "offsets.retention.minutes", kind: integer, value: "10080", low: 1, high: most32, doc: "How long the offsets of a group without members are kept."},
		{name: "offset.metadata.max.bytes", kind: integer, value: "4096", low: 0, high: most32, doc: "Bytes of text that a group keeps with an offset."},
		{name: "transaction.max.timeout.ms", kind: integer, value: "900000", low: 1, high: most32, doc: "The longest transaction timeout that a producer may ask for."},
		{name: "transactional.id.expiration.ms", kind: integer, value: "604800000", low: 1, high: most32, doc: "How long a transactional id is known that nobody uses."},
		{name: "producer.id.expiration.ms", kind: integer, value: "86400000", low: 1, high: most32, doc: "How long a producer is known after its last batch."},
	}
}

// kafkaAssignors is where Kafka has its assignors, which may go by their classes.
const kafkaAssignors = "org.apache.kafka.coordinator.group.assignor."

func assignorNames() []string {
	return []string{group.Uniform, group.Range, kafkaAssignors + "UniformAssignor", kafkaAssignors + "RangeAssignor"}
}

// assignors are those of a list, by their short names; without any, all.
func assignors(value string) (all []string) {
	for _, name := range words(value) {
		name = strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(name, kafkaAssignors), "Assignor"))
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	if len(all) == 0 {
		all = []string{group.Uniform, group.Range}
	}
	return all
}

// The values of message.timestamp.type.
const (
	createTime    = "CreateTime"
	logAppendTime = "LogAppendTime"
)

// asProduced is the value of compression.type that leaves batches as they are.
const asProduced = "producer"

// codecs are the values of compression.type.
func codecs() []string {
	all := []string{asProduced, "uncompressed"}
	for c := batch.Gzip; c <= batch.Zstd; c++ {
		all = append(all, c.String())
	}
	return all
}

// idle are settings that mean nothing here, and their defaults: they are in many a
// file that was written for Kafka.
func idle() map[string]string {
	return map[string]string{
		"auto.leader.rebalance.enable": "true", "background.threads": "10", "broker.id": "1", "broker.id.generation.enable": "true",
		"broker.rack": "", "controlled.shutdown.enable": "true", "controller.listener.names": "",
		"controller.quorum.bootstrap.servers": "", "controller.quorum.voters": "",
		"group.coordinator.new.enable": "true", "group.coordinator.rebalance.protocols": "classic,consumer",
		"group.coordinator.threads": "4", "inter.broker.listener.name": "",
		"inter.broker.protocol.version": "", "log.cleaner.threads": "1", "log.cleaner.io.buffer.load.factor": "0.9",
		"log.cleaner.io.buffer.size": "524288", "log.cleaner.io.max.bytes.per.second": "1.7976931348623157E308",
		"log.dir": "", "log.dirs": "", "log.message.format.version": "",
		"metadata.log.dir": "", "node.id": "1", "num.io.threads": "8", "num.network.threads": "3", "num.recovery.threads.per.data.dir": "2",
		"num.replica.fetchers": "1", "offsets.retention.check.interval.ms": "600000", "offsets.topic.num.partitions": "50",
		"offsets.topic.replication.factor": "3", "process.roles": "", "queued.max.requests": "500", "replica.fetch.max.bytes": "1048576",
		"replica.lag.time.max.ms": "30000", "sasl.mechanism.inter.broker.protocol": "", "security.inter.broker.protocol": "", "share.coordinator.state.topic.min.isr": "2", "share.coordinator.state.topic.replication.factor": "3",
		"socket.listen.backlog.size": "50", "socket.receive.buffer.bytes": "102400", "socket.send.buffer.bytes": "102400",
		"transaction.state.log.min.isr": "2", "transaction.state.log.num.partitions": "50", "transaction.state.log.replication.factor": "3",
		"unclean.leader.election.enable": "false", "zookeeper.connect": "", "zookeeper.connection.timeout.ms": "18000",
	}
}

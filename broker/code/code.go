// Package code has the error codes of Kafka's protocol that the broker answers
// with. The numbers and names are Kafka's own, of
// org.apache.kafka.common.protocol.Errors; the explanations are not.
package code

import (
	"errors"
	"strconv"
)

// Error is a code as it goes over the wire. It is an error, to be wrapped with
// what went wrong; see [Of]. None is no error: a function that has nothing to
// report returns nil.
type Error int16

// The codes. Codes of what the broker has not, such as delegation tokens, share
// groups and controllers, are left out.
//
//nolint:errname // the names are Kafka's
const (
	None                               Error = 0   // it went well
	UnknownServerError                 Error = -1  // the broker broke
	OffsetOutOfRange                   Error = 1   // no such offset is kept
	CorruptMessage                     Error = 2   // the bytes are not what was sent; clients send them again
	UnknownTopicOrPartition            Error = 3   // no such topic or partition
	LeaderNotAvailable                 Error = 5   // the partition is not ready yet
	NotLeaderOrFollower                Error = 6   // the partition is led elsewhere
	RequestTimedOut                    Error = 7   // it took too long
	MessageTooLarge                    Error = 10  // the batch or the request is larger than allowed
	OffsetMetadataTooLarge             Error = 12  // the text kept with a group's offset is too long
	CoordinatorLoadInProgress          Error = 14  // the coordinator is still reading its log
	CoordinatorNotAvailable            Error = 15  // no coordinator is there yet
	NotCoordinator                     Error = 16  // the coordinator is elsewhere
	InvalidTopic                       Error = 17  // no topic may have that name
	NotEnoughReplicas                  Error = 19  // try again: nothing was appended
	NotEnoughReplicasAfterAppend       Error = 20  // try again: appended, but not kept as promised
	InvalidRequiredAcks                Error = 21  // acks must be -1, 0 or 1
	IllegalGeneration                  Error = 22  // the member speaks for an older generation of its group
	InconsistentGroupProtocol          Error = 23  // the member shares no protocol with its group
	InvalidGroupID                     Error = 24  // no group may have that name
	UnknownMemberID                    Error = 25  // no such member
	InvalidSessionTimeout              Error = 26  // the session timeout is out of bounds
	RebalanceInProgress                Error = 27  // the members must join anew
	TopicAuthorizationFailed           Error = 29  // not allowed to use the topic
	GroupAuthorizationFailed           Error = 30  // not allowed to use the group
	ClusterAuthorizationFailed         Error = 31  // not allowed to do that at all
	InvalidTimestamp                   Error = 32  // the timestamp is out of bounds
	UnsupportedSASLMechanism           Error = 33  // no such SASL mechanism
	IllegalSASLState                   Error = 34  // SASL steps came in the wrong order
	UnsupportedVersion                 Error = 35  // the request's version is not served
	TopicAlreadyExists                 Error = 36  // such a topic is there
	InvalidPartitions                  Error = 37  // so many partitions cannot be
	InvalidReplicationFactor           Error = 38  // so many copies cannot be
	InvalidReplicaAssignment           Error = 39  // the copies cannot be placed so
	InvalidConfig                      Error = 40  // no such setting, or not with that value
	InvalidRequest                     Error = 42  // the request contradicts itself or the protocol
	UnsupportedForMessageFormat        Error = 43  // the format of the messages does not allow it
	PolicyViolation                    Error = 44  // a rule of the broker does not allow it
	OutOfOrderSequenceNumber           Error = 45  // a sequence number is neither the next one nor that of a batch remembered
	DuplicateSequenceNumber            Error = 46  // the batch was appended before, long ago
	InvalidProducerEpoch               Error = 47  // a producer with the same id and a later epoch has begun
	InvalidTxnState                    Error = 48  // the transaction is not in a state for that
	InvalidProducerIDMapping           Error = 49  // the producer id is not that of the transactional id
	InvalidTransactionTimeout          Error = 50  // the transaction timeout is too long
	ConcurrentTransactions             Error = 51  // the last transaction is still ending: try again
	TransactionalIDAuthorizationFailed Error = 53  // not allowed to use the transactional id
	SecurityDisabled                   Error = 54  // the broker has no security to speak of
	OperationNotAttempted              Error = 55  // not tried, because something beside it failed
	KafkaStorageError                  Error = 56  // the disk failed: nothing is appended any more
	SASLAuthenticationFailed           Error = 58  // wrong name or password
	UnknownProducerID                  Error = 59  // nothing is known of the producer
	NonEmptyGroup                      Error = 68  // the group has members
	GroupIDNotFound                    Error = 69  // no such group
	FetchSessionIDNotFound             Error = 70  // no such fetch session
	InvalidFetchSessionEpoch           Error = 71  // the fetch session is at another epoch
	ListenerNotFound                   Error = 72  // no such listener
	TopicDeletionDisabled              Error = 73  // no topic may be deleted
	FencedLeaderEpoch                  Error = 74  // the leader epoch is older than the partition's
	UnknownLeaderEpoch                 Error = 75  // the leader epoch is later than the partition's
	UnsupportedCompressionType         Error = 76  // the version of the request may not carry that codec
	OffsetNotAvailable                 Error = 78  // the offset is not known yet: try again
	MemberIDRequired                   Error = 79  // join again, with the member id in the reply
	GroupMaxSizeReached                Error = 81  // the group is full
	FencedInstanceID                   Error = 82  // another member has the same instance id now
	ElectionNotNeeded                  Error = 84  // the leader stays
	GroupSubscribedToTopic             Error = 86  // the group reads the topic
	InvalidRecord                      Error = 87  // a record or a batch breaks a rule; sending it again is of no use
	UnstableOffsetCommit               Error = 88  // a transaction is about to change the offset: try again
	ThrottlingQuotaExceeded            Error = 89  // too much at once: try again
	ProducerFenced                     Error = 90  // a producer with the same transactional id has begun after this one
	ResourceNotFound                   Error = 91  // what was named is not there
	DuplicateResource                  Error = 92  // something is named twice
	UnacceptableCredential             Error = 93  // the new password does not do
	FeatureUpdateFailed                Error = 96  // the feature did not change
	UnknownTopicID                     Error = 100 // no topic has that id
	InconsistentTopicID                Error = 103 // the topic's id is another one
	TransactionalIDNotFound            Error = 105 // no such transactional id
	FetchSessionTopicIDError           Error = 106 // the fetch session mixes names and ids of topics
	FencedMemberEpoch                  Error = 110 // the member must give up its partitions and join anew
	UnreleasedInstanceID               Error = 111 // another member holds the instance id
	UnsupportedAssignor                Error = 112 // no such assignor
	StaleMemberEpoch                   Error = 113 // the member must ask again, with its new epoch
	MismatchedEndpointType             Error = 114 // the node is not of the kind that was asked for
	TransactionAbortable               Error = 120 // the transaction must be aborted; the producer may go on
	InvalidRegularExpression           Error = 128 // the expression cannot be read
	RebootstrapRequired                Error = 129 // the client must begin anew, from its first addresses
	GroupDeletionFailed                Error = 134 // the group was not deleted
)

// Of returns the code that err carries: None for nil, and UnknownServerError for
// an error that carries none.
func Of(err error) Error {
	if err == nil {
		return None
	}
	if e, ok := errors.AsType[Error](err); ok {
		return e
	}
	return UnknownServerError
}

// Error is the code's name.
func (e Error) Error() string { return e.String() }

// String is the code's name in Kafka, or its number if it is not one of the
// constants.
func (e Error) String() string {
	if e == UnknownServerError {
		return "UNKNOWN_SERVER_ERROR"
	}
	if e >= 0 && int(e) < len(names) && names[e] != "" {
		return names[e]
	}
	return "code " + strconv.Itoa(int(e))
}

// names is never written to.
var names = [...]string{
	None:                               "NONE",
	OffsetOutOfRange:                   "OFFSET_OUT_OF_RANGE",
	CorruptMessage:                     "CORRUPT_MESSAGE",
	UnknownTopicOrPartition:            "UNKNOWN_TOPIC_OR_PARTITION",
	LeaderNotAvailable:                 "LEADER_NOT_AVAILABLE",
	NotLeaderOrFollower:                "NOT_LEADER_OR_FOLLOWER",
	RequestTimedOut:                    "REQUEST_TIMED_OUT",
	MessageTooLarge:                    "MESSAGE_TOO_LARGE",
	OffsetMetadataTooLarge:             "OFFSET_METADATA_TOO_LARGE",
	CoordinatorLoadInProgress:          "COORDINATOR_LOAD_IN_PROGRESS",
	CoordinatorNotAvailable:            "COORDINATOR_NOT_AVAILABLE",
	NotCoordinator:                     "NOT_COORDINATOR",
	InvalidTopic:                       "INVALID_TOPIC_EXCEPTION",
	NotEnoughReplicas:                  "NOT_ENOUGH_REPLICAS",
	NotEnoughReplicasAfterAppend:       "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
	InvalidRequiredAcks:                "INVALID_REQUIRED_ACKS",
	IllegalGeneration:                  "ILLEGAL_GENERATION",
	InconsistentGroupProtocol:          "INCONSISTENT_GROUP_PROTOCOL",
	InvalidGroupID:                     "INVALID_GROUP_ID",
	UnknownMemberID:                    "UNKNOWN_MEMBER_ID",
	InvalidSessionTimeout:              "INVALID_SESSION_TIMEOUT",
	RebalanceInProgress:                "REBALANCE_IN_PROGRESS",
	TopicAuthorizationFailed:           "TOPIC_AUTHORIZATION_FAILED",
	GroupAuthorizationFailed:           "GROUP_AUTHORIZATION_FAILED",
	ClusterAuthorizationFailed:         "CLUSTER_AUTHORIZATION_FAILED",
	InvalidTimestamp:                   "INVALID_TIMESTAMP",
	UnsupportedSASLMechanism:           "UNSUPPORTED_SASL_MECHANISM",
	IllegalSASLState:                   "ILLEGAL_SASL_STATE",
	UnsupportedVersion:                 "UNSUPPORTED_VERSION",
	TopicAlreadyExists:                 "TOPIC_ALREADY_EXISTS",
	InvalidPartitions:                  "INVALID_PARTITIONS",
	InvalidReplicationFactor:           "INVALID_REPLICATION_FACTOR",
	InvalidReplicaAssignment:           "INVALID_REPLICA_ASSIGNMENT",
	InvalidConfig:                      "INVALID_CONFIG",
	InvalidRequest:                     "INVALID_REQUEST",
	UnsupportedForMessageFormat:        "UNSUPPORTED_FOR_MESSAGE_FORMAT",
	PolicyViolation:                    "POLICY_VIOLATION",
	OutOfOrderSequenceNumber:           "OUT_OF_ORDER_SEQUENCE_NUMBER",
	DuplicateSequenceNumber:            "DUPLICATE_SEQUENCE_NUMBER",
	InvalidProducerEpoch:               "INVALID_PRODUCER_EPOCH",
	InvalidTxnState:                    "INVALID_TXN_STATE",
	InvalidProducerIDMapping:           "INVALID_PRODUCER_ID_MAPPING",
	InvalidTransactionTimeout:          "INVALID_TRANSACTION_TIMEOUT",
	ConcurrentTransactions:             "CONCURRENT_TRANSACTIONS",
	TransactionalIDAuthorizationFailed: "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
	SecurityDisabled:                   "SECURITY_DISABLED",
	OperationNotAttempted:              "OPERATION_NOT_ATTEMPTED",
	KafkaStorageError:                  "KAFKA_STORAGE_ERROR",
	SASLAuthenticationFailed:           "SASL_AUTHENTICATION_FAILED",
	UnknownProducerID:                  "UNKNOWN_PRODUCER_ID",
	NonEmptyGroup:                      "NON_EMPTY_GROUP",
	GroupIDNotFound:                    "GROUP_ID_NOT_FOUND",
	FetchSessionIDNotFound:             "FETCH_SESSION_ID_NOT_FOUND",
	InvalidFetchSessionEpoch:           "INVALID_FETCH_SESSION_EPOCH",
	ListenerNotFound:                   "LISTENER_NOT_FOUND",
	TopicDeletionDisabled:              "TOPIC_DELETION_DISABLED",
	FencedLeaderEpoch:                  "FENCED_LEADER_EPOCH",
	UnknownLeaderEpoch:                 "UNKNOWN_LEADER_EPOCH",
	UnsupportedCompressionType:         "UNSUPPORTED_COMPRESSION_TYPE",
	OffsetNotAvailable:                 "OFFSET_NOT_AVAILABLE",
	MemberIDRequired:                   "MEMBER_ID_REQUIRED",
	GroupMaxSizeReached:                "GROUP_MAX_SIZE_REACHED",
	FencedInstanceID:                   "FENCED_INSTANCE_ID",
	ElectionNotNeeded:                  "ELECTION_NOT_NEEDED",
	GroupSubscribedToTopic:             "GROUP_SUBSCRIBED_TO_TOPIC",
	InvalidRecord:                      "INVALID_RECORD",
	UnstableOffsetCommit:               "UNSTABLE_OFFSET_COMMIT",
	ThrottlingQuotaExceeded:            "THROTTLING_QUOTA_EXCEEDED",
	ProducerFenced:                     "PRODUCER_FENCED",
	ResourceNotFound:                   "RESOURCE_NOT_FOUND",
	DuplicateResource:                  "DUPLICATE_RESOURCE",
	UnacceptableCredential:             "UNACCEPTABLE_CREDENTIAL",
	FeatureUpdateFailed:                "FEATURE_UPDATE_FAILED",
	UnknownTopicID:                     "UNKNOWN_TOPIC_ID",
	InconsistentTopicID:                "INCONSISTENT_TOPIC_ID",
	TransactionalIDNotFound:            "TRANSACTIONAL_ID_NOT_FOUND",
	FetchSessionTopicIDError:           "FETCH_SESSION_TOPIC_ID_ERROR",
	FencedMemberEpoch:                  "FENCED_MEMBER_EPOCH",
	UnreleasedInstanceID:               "UNRELEASED_INSTANCE_ID",
	UnsupportedAssignor:                "UNSUPPORTED_ASSIGNOR",
	StaleMemberEpoch:                   "STALE_MEMBER_EPOCH",
	MismatchedEndpointType:             "MISMATCHED_ENDPOINT_TYPE",
	TransactionAbortable:               "TRANSACTION_ABORTABLE",
	InvalidRegularExpression:           "INVALID_REGULAR_EXPRESSION",
	RebootstrapRequired:                "REBOOTSTRAP_REQUIRED",
	GroupDeletionFailed:                "GROUP_DELETION_FAILED",
}

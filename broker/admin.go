package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// adminAPIs is what tools and administrators ask for.
func adminAPIs() map[int16]api {
	return map[int16]api{
		15: asks(0, 6, describeGroups),
		16: asks(0, 5, listGroups),
		21: asks(0, 2, deleteRecords),
		23: asks(2, 4, offsetForLeaderEpoch),
		29: asks(1, 3, describeACLs),
		32: asks(0, 4, describeConfigs),
		33: asks(0, 2, alterConfigs),
		35: asks(1, 4, describeLogDirs),
		37: asks(0, 3, createPartitions),
		42: asks(0, 2, deleteGroups),
		43: asks(0, 2, electLeaders),
		44: asks(0, 1, incrementalAlterConfigs),
		46: asks(0, 0, listPartitionReassignments),
		47: asks(0, 0, offsetDelete),
		60: asks(0, 2, describeCluster),
		74: asks(0, 1, listConfigResources),
		75: asks(0, 0, describeTopicPartitions),
	}
}

// securityAPIs is who clients are.
func securityAPIs() map[int16]api {
	return map[int16]api{
		keySASLHandshake: asks(0, 1, saslHandshake),
		keySASLAuthenticate: serves(0, 2, func(c *conn, ctx context.Context, r *kmsg.SASLAuthenticateRequest) answer {
			return saslAuthenticate(ctx, c, r)
		}),
		48: asks(0, 1, describeClientQuotas),
		50: asks(0, 0, describeUserSCRAMCredentials),
		51: asks(0, 0, alterUserSCRAMCredentials),
	}
}

// asks makes an entry of the table of a handler that never waits by itself.
func asks[R kmsg.Request](low, high int16, handle func(*conn, R) answer) api {
	return serves(low, high, func(c *conn, _ context.Context, r R) answer { return handle(c, r) })
}

// The operations on a resource that a client may be told it is allowed, as bits by
// their numbers in Kafka's ACLs.
const (
	groupOperations   = 1<<3 | 1<<6 | 1<<8                                // read, delete, describe
	clusterOperations = 1<<5 | 1<<7 | 1<<8 | 1<<9 | 1<<10 | 1<<11 | 1<<12 // create, alter, describe, act, describe and alter configs, write idempotently

	notTold = -1 << 31 // of operations that were not asked for
)

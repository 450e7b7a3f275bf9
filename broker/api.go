package broker

import (
	"context"
	"maps"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/shape"
)

const (
	keyProduce     = 0
	keyAPIVersions = 18 // every client begins with it
)

// api is one kind of request.
type api struct {
	min, max  int16 // versions served
	announced int16 // the lowest that is announced, if lower than min
	handle    func(*conn, context.Context, kmsg.Request) answer
	shapes    []*shape.Shape // by version, from min on
}

// serves makes an entry of the table of a typed handler.
func serves[R kmsg.Request](low, high int16, handle func(*conn, context.Context, R) answer) api {
	return api{min: low, max: high, announced: low, handle: func(c *conn, ctx context.Context, r kmsg.Request) answer {
		return handle(c, ctx, r.(R))
	}}
}

// onTransactions makes a handler of one that needs the node's transactions only.
func onTransactions[R kmsg.Request](handle func(*transactions, R) answer) func(*conn, context.Context, R) answer {
	return func(c *conn, _ context.Context, r R) answer { return handle(&c.b.txns, r) }
}

// apis is what the node serves, by key.
func apis() map[int16]api {
	produce := serves(3, 13, (*conn).produce)
	produce.announced = 0 // librdkafka before 2.11 compresses nothing otherwise (KAFKA-18659)
	all := map[int16]api{
		keyProduce:     produce,
		1:              serves(4, 18, (*conn).fetch),
		2:              serves(1, 10, (*conn).listOffsets),
		3:              serves(0, 13, (*conn).metadata),
		8:              serves(2, 10, (*conn).offsetCommit),
		9:              serves(1, 10, (*conn).offsetFetch),
		10:             serves(0, 6, (*conn).findCoordinator),
		11:             serves(0, 9, (*conn).joinGroup),
		12:             serves(0, 4, (*conn).heartbeat),
		13:             serves(0, 5, (*conn).leaveGroup),
		14:             serves(0, 5, (*conn).syncGroup),
		keyAPIVersions: serves(0, 4, (*conn).apiVersions),
		19:             serves(0, 7, (*conn).createTopics),
		20:             serves(0, 6, (*conn).deleteTopics),
		22:             serves(0, 5, (*conn).initProducerID),
		24:             serves(0, 3, onTransactions((*transactions).addPartitionsToTxn)),
		25:             serves(0, 4, onTransactions((*transactions).addOffsetsToTxn)),
		26:             serves(0, 5, onTransactions((*transactions).endTxn)),
		27:             serves(1, 2, onTransactions((*transactions).writeTxnMarkers)),
		28:             serves(0, 5, onTransactions((*transactions).txnOffsetCommit)),
		61:             serves(0, 0, onTransactions((*transactions).describeProducers)),
		65:             serves(0, 0, onTransactions((*transactions).describeTransactions)),
		66:             serves(0, 2, onTransactions((*transactions).listTransactions)),
		68:             serves(0, 1, (*conn).consumerGroupHeartbeat),
		69:             asks(0, 1, consumerGroupDescribe),
	}
	maps.Copy(all, adminAPIs())
	maps.Copy(all, securityAPIs())
	for key, a := range all {
		for version := a.min; version <= a.max; version++ {
			a.shapes = append(a.shapes, shape.Of(key, version))
		}
		all[key] = a
	}
	return all
}

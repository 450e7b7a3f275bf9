package broker

import (
	"context"
	"maps"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// keyAPIVersions is the key of the request that every client begins with.
const keyAPIVersions = 18

// api is one kind of request.
type api struct {
	min, max  int16 // versions served
	announced int16 // the lowest that is announced, if lower than min
	handle    func(*conn, context.Context, kmsg.Request) answer
}

// serves makes an entry of the table of a typed handler.
func serves[R kmsg.Request](low, high int16, handle func(*conn, context.Context, R) answer) api {
	return api{min: low, max: high, announced: low, handle: func(c *conn, ctx context.Context, r kmsg.Request) answer {
		return handle(c, ctx, r.(R))
	}}
}

// apis is what the node serves, by key.
func apis() map[int16]api {
	produce := serves(3, 13, (*conn).produce)
	produce.announced = 0 // librdkafka before 2.11 compresses nothing otherwise (KAFKA-18659)
	all := map[int16]api{
		0:              produce,
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
	}
	maps.Copy(all, adminAPIs())
	return all
}

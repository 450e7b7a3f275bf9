package broker

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/code"
)

// DescribeCluster (60), versions 0 to 2: which nodes there are. There is one.
//
//	1  brokers or controllers: it has no controllers that clients could reach
//	2  fenced brokers
func describeCluster(c *conn, req *kmsg.DescribeClusterRequest) answer {
	const brokers = 1
	resp := req.ResponseKind().(*kmsg.DescribeClusterResponse)
	resp.ClusterID, resp.ControllerID, resp.EndpointType = c.b.identity.Cluster, nodeID, brokers
	resp.ClusterAuthorizedOperations = notTold
	if req.Version >= 1 && req.EndpointType != brokers {
		err := refuse(code.MismatchedEndpointType, "endpoints of type %d: there are only brokers, which are of type 1", req.EndpointType)
		resp.ErrorCode, resp.ErrorMessage = int16(codeOf(err)), messageOf(err)
		return ready(resp)
	}
	if req.IncludeClusterAuthorizedOperations {
		resp.ClusterAuthorizedOperations = clusterOperations
	}
	host := kmsg.NewDescribeClusterResponseBroker()
	host.NodeID, host.Host, host.Port = nodeID, c.listen.host, c.listen.port
	resp.Brokers = append(resp.Brokers, host)
	return ready(resp)
}

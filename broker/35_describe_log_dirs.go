package broker

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeLogDirs (35), versions 1 to 4: how many bytes the batches of partitions
// take on disk. What is deleted takes room until the files of the log that hold it
// are not needed any more.
//
//	2  flexible
//	3  an error for all of it
//	4  the disk's size, which is not told
func describeLogDirs(c *conn, req *kmsg.DescribeLogDirsRequest) answer {
	resp := req.ResponseKind().(*kmsg.DescribeLogDirsResponse)
	dir := kmsg.NewDescribeLogDirsResponseDir()
	dir.Dir, dir.TotalBytes, dir.UsableBytes = c.b.dir, -1, -1
	if req.Topics == nil {
		for _, t := range c.b.topics.list() {
			dir.Topics = append(dir.Topics, sizesOf(t, func(int32) bool { return true }))
		}
	}
	for i := range req.Topics {
		asked := &req.Topics[i]
		if t := c.b.topics.named(asked.Topic); t != nil {
			dir.Topics = append(dir.Topics, sizesOf(t, func(p int32) bool { return slices.Contains(asked.Partitions, p) }))
		}
	}
	resp.Dirs = append(resp.Dirs, dir)
	return ready(resp)
}

func sizesOf(t *topic, asked func(partition int32) bool) kmsg.DescribeLogDirsResponseDirTopic {
	d := kmsg.NewDescribeLogDirsResponseDirTopic()
	d.Topic = t.name
	for i, p := range t.partitions {
		if !asked(int32(i)) {
			continue
		}
		size := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
		size.Partition, size.Size = int32(i), p.Bytes()
		d.Partitions = append(d.Partitions, size)
	}
	return d
}

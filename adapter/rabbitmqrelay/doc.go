// Package rabbitmqrelay publishes what an outbox holds into RabbitMQ, each record at least
// once and under one id: see package relay.
//
//	to, err := rabbitmqrelay.New("amqp://localhost:5672", rabbitmqrelay.Options{Exchange: "payments"})
//	r, err := relay.New(out.Records(), to, relay.Options{})
//
// # A record
//
// Its topic is the routing key, which for the default exchange is a queue's name. Its id is
// the property message-id, and its headers are headers, as text; one that is nil is void. Its order key is a
// header too if [Options.KeyHeader] names it. Messages are persistent. RabbitMQ keeps one
// header of a name: a record with two of one is refused.
//
// # How often
//
// A record is marked as published when RabbitMQ has confirmed it, and sent again, with the
// same id, while that is not known. RabbitMQ drops no copies: take its messages to an inbox
// that names them by their ids ("header:message-id"), and each takes effect once.
//
// What voids it: queues that are not durable, or what loses messages that were confirmed.
//
// # Order
//
// A record is sent when the one before it of its order key is confirmed. So in each queue the
// first copies of an order key are in its order, whatever is cut or killed. One order key has one
// record on its way: as many a second as there are round trips. Different keys share
// [Options.InFlight].
//
// # Records that are refused for good
//
// No queue takes the routing key, the message is larger than RabbitMQ takes, the user may not
// write there by this routing key, or a header is none that it accepts. What RabbitMQ does
// not confirm, such as for a queue that is full and rejects, is tried again.
package rabbitmqrelay

// Package promkafkaproducer shows producers of package kafkaproducer to Prometheus: register
// what [New] returns where the program's other metrics are.
//
//	hapax_producer_published_records_total{producer}  counter  that the brokers answered for
//	hapax_producer_again_records_total{producer}      counter  sent again, with the same ids
//	hapax_producer_refused_records_total{producer}    counter  given up: the brokers do not want them
//	hapax_producer_unknown_records_total{producer}    counter  given up: they may be there, or not
//
// # What to look at
//
//   - Copies on their way: hapax_producer_again_records_total rises. Each may be a copy,
//     which a window or a consumer's inbox drops.
//   - Records that somebody has to publish again, with the same ids:
//     hapax_producer_unknown_records_total rises.
//   - Records that will never be there: hapax_producer_refused_records_total rises.
package promkafkaproducer

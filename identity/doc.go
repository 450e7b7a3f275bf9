// Package identity names messages: it reads from a message the bytes by which
// its copies are known, and hashes them for a ledger.
//
//	message ──Extractor──▶ identity ──Hasher──▶ fingerprint
//	   └────────────────── payload ───Hasher──▶ digest
//
// # Specs
//
// A spec says how messages are named. [Parse] reads it, and its
// [Extractor] is safe for concurrent use.
//
//	line                       the whole value, byte by byte
//	key                        the message's key
//	header:NAME                the value of the first header of that very name
//	json:PATH[,PATH…]          the values of fields of the JSON value
//	cloudevents                source and id of a CloudEvent, in binary or structured mode
//	content                    the JSON value in canonical form, else its bytes;
//	                           "value" is the same
//	content:-PATH[,PATH…]      the same without some fields (JSON only)
//	content:+PATH[,PATH…]      some fields only, of which one must be there (JSON only)
//	sequence:PRODUCER_PATH,NUMBER_PATH[,EPOCH_PATH]
//	                           the place in a producer's own numbering
//
// Parts joined by "+" make one identity together: "header:tenant+json:id". Of
// alternatives joined by "|" the first that the message has is taken:
// "json:id|content". A message that is malformed goes to no alternative. A
// sequence stands alone.
//
// A PATH names fields from the top, with dots between them: "order.lines.0.sku".
// A name of digits is also the index of an array's element, counted from zero.
// A backslash takes the next character as part of a name, so that `a\.b` is the
// field called "a.b"; it is needed before a dot, a comma, a plus, a bar and a
// backslash. In a header's NAME it is needed before a comma, a plus, a bar and a
// backslash. A field with an empty name cannot be named.
//
// # What is equal
//
// JSON values have types: 1 is not "1" and true is not "true". Numbers are equal
// if their exact decimal values are, so 1, 1.0 and 1e0 are one id, and
// 9007199254740993 and 9007199254740992 are two. Strings are equal if their
// characters are, however they were escaped; nothing is normalised. Objects and
// arrays count by their canonical form ([AppendCanonical]), in which the order of
// members does not matter. A field that is null or absent is missing; an empty
// string is a value. An empty key or header is missing, and so is all of a value
// that is nil, such as Kafka's null: an empty one is content.
//
// The parts of an identity are never joined without their lengths, and its first
// byte tells its kind, but for a line: so different messages have different
// identities, whatever separators they hold. Alternatives never meet one another
// either.
//
// # What is an error
//
// A message without an identity is [hapax.ErrMissing], and [MissingPolicy] says
// what to do with it. A value that the spec needs as JSON and that is none is
// [hapax.ErrMalformed]: the whole value is checked, not only what leads to the
// field. So is a name repeated on the way to a field, and, wherever a canonical
// form is taken, one repeated anywhere in it. JSON is RFC 8259 in UTF-8, at most
// 512 levels deep.
package identity

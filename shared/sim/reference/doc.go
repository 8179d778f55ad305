// Package reference is a sequential specification of the API, and a judge of histories by it.
//
// The specification says what a request does to one order and what it answers, if nothing else
// happens meanwhile, and how an order changes by itself between requests: read [state.do] and
// [state.step] in spec.go. It shares no rule with the product, so an error has to be made twice
// to go unseen; only how a key names an order is the product's.
//
// A [History] is what concurrent clients asked and were answered. It is good if it is
// linearizable: if each request can be given one moment between its call and its return, such
// that one after the other, in the order of those moments, the requests are answered as the
// specification says. A request whose answer was lost may have had its effect at any time since,
// or never.
//
// Versions rise with every change, and the answers show them. So the specification never has
// to guess how often a worker tried between two answers, and a read that goes back to an
// earlier version has no place in any order.
package reference

// Package load drives a running paylane with orders, follows every one of them to its end,
// and reports how it went: the command "paylane load".
//
//	go run ./cmd/paylane load --url http://127.0.0.1:3000 -c 50 -d 15s
//
// During the load it sends POST /orders and nothing else: each connection sends its next
// request when it has read the last answer. (This is a closed loop: a target that stalls is
// sent less, so read the percentiles next to the rate.) Afterwards it walks GET /orders from
// the newest order to the oldest of the run, stays at each page until the orders on it are
// at their ends, and asks for orders that the list did not show one by one. Other orders in
// the store do no harm.
//
// With --floor it measures before and after, for a third of the time each, what the same
// driver gets from a bare net/http server in a process of its own, which reads the request
// and sends a fixed answer of the same size. No target on this machine can be faster.
//
// # The report
//
// --json writes one object to standard output. Durations are in milliseconds, with
// fractions; rates are per second. Times of orders are the server's: drain and paid rate
// do not depend on this machine's clock.
//
//	url, connections          what was driven, and over how many connections
//	loadMs                    from the first request to the last answer
//	interrupted               Ctrl-C ended the load early
//	requests                  accepted ones and errors
//	accepted                  answers 201 that name an order
//	acceptedPerSecond         accepted by loadMs
//	latencyMs                 of accepted requests, body read: p50, p90, p99, p999, max
//	errors                    failed requests by kind, each {kind, count, example}: http_<status>,
//	                          answer (a 201 that names no order), timeout, refused, closed,
//	                          canceled, transport
//	ends                      orders at an end, by status
//	paidPerSecond             orders PAID, by the time from the first order's createdAt to
//	                          the last updatedAt of a PAID one
//	drainMs                   from the createdAt of the newest order to the last updatedAt of
//	                          an end; null unless all orders are at an end
//	duplicates                answers 201 that named an order another had named before
//	missing                   orders accepted, but not found
//	unfinished                orders not at an end when --drain had passed
//	unread                    orders that could not be followed; followError says why
//	floor                     with --floor: before and after, each {accepted, perSecond,
//	                          latencyMs}; perSecond of both together; ratio, which is
//	                          acceptedPerSecond by that
//	failures                  in words, each thing that was not as promised
//	ok                        there are no failures
package load

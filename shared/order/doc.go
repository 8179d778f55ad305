// Package order holds paylane's domain: an order, its money, the one table that
// says how its status may change, and the ports through which everything else
// stores orders.
//
// Start with [Order] and [Transition]. An order is changed only by its methods
// (Claim, Pay, Cancel …); each takes the time as an argument, returns the changed
// copy with its version raised by one, and refuses what the table does not allow.
// Nothing here does I/O: [Store] is a contract in words, kept by adapters in packages
// of their own and checked by one suite for all of them.
//
// # Why a lost or doubled message does no harm
//
// The message about an order is sent before the order is written. So an order
// that a caller has seen always has its message; a message may find no order yet
// (it is early and is tried again) or find it done already (it is dropped).
// A message that stays early for [EarlyFor] is dropped only after a fence: a
// write that makes the one it was waiting for fail, should that one merely have
// been frozen. Where there is no order, the fence is a tombstone in status [Void].
package order

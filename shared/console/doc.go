// Package console is the web console: the system to look at, and its orders, queues and webhooks
// to act on.
//
// It is a client of the HTTP API like any other, only within the same process: every page shows
// what the API answered to this caller, and every action is one request to it, whose answer is
// shown. What the API refuses, the console can't do. Only [Local] adds to that, where one process
// runs everything.
//
// Pages are made on the server by html/template. Scripts and styles are files of this package,
// named by their content; nothing comes from another origin, and nothing in a page runs that is
// not such a file (Content-Security-Policy). A form that acts carries a token of its session, and
// requests of other sites are refused before it is looked at.
package console

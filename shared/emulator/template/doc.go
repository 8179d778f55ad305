// Package template reads an AWS SAM template (template.yaml) into plain Go
// structs: functions with their URLs, HTTP APIs with their routes, queues, tables, event
// source mappings and schedules, what else the code can reach, and the Outputs. The
// template is the emulator's only configuration.
// Start reading at [Read].
//
// # What it promises
//
// Nothing is ignored silently. Each resource type and each property is one of three
// things:
//
//   - read: it is in a struct of this package, with AWS's default filled in;
//   - without effect locally: it is in [Template.Skipped], with the reason (accepted.go);
//   - refused, by name and line. All problems are reported at once ([Error]).
//
// So the emulator runs a template that Read returns as AWS would, as far as a handler or
// its caller can see.
//
// Two settings mean nothing on AWS. LocalPaths in a function's Metadata, such as
// [/orders/{id}/events], lists the paths of the local server that lead to the function's
// URL, which has its own domain on AWS ([FunctionURL]). Paylane in the template's Metadata
// names the parameters that the program fills ([Filled]).
//
// # How it works
//
// The YAML becomes a tree of nodes that know their line (node.go). Globals are
// merged into the functions and APIs as SAM merges them (globals.go). Intrinsic
// functions are then evaluated where a value is needed, never before: a branch of
// Fn::If that isn't taken may refer to what does not exist (eval.go). Last of all come the
// values that other services keep (reference.go). Readers for
// each type (function.go, httpapi.go, queue.go …) ask for the properties they
// know; any other property is a problem (properties.go).
//
// A Ref or Fn::GetAtt of a resource returns what CloudFormation would (returns.go),
// with predictable names: a resource that the template does not name is called
// <stack>-<logical id>, where CloudFormation would add random letters. The address of an
// HTTP API or a function URL is where the runner serves it ([Options.Origin]).
//
// # What it does not do
//
// It does not lint: policies, alarms and other resources without effect are not
// examined. Constraints on parameters are checked, except an AllowedPattern
// that Go's regular expressions can't express (look-ahead, back references).
package template

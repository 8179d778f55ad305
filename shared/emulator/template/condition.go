package template

// condition evaluates the named condition, once.
func (r *reader) condition(n *node, name, path string) (holds, ok bool) {
	if known, ok := r.conditions[name]; ok {
		return known.holds, known.ok
	}
	definition := r.root.get("Conditions").get(name)
	if definition == nil {
		r.add(n, path, "there is no condition %s", quote(name))
		return false, false
	}
	if !r.enter(n, path, "condition "+name) {
		return false, false
	}
	defer r.leave()
	holds, ok = r.truth(definition, "Conditions."+name)
	r.conditions[name] = truth{holds, ok}
	return holds, ok
}

// truth is the value of a condition; ok is false after a problem.
type truth struct{ holds, ok bool }

// truth evaluates an expression of the Conditions section.
func (r *reader) truth(n *node, path string) (holds, ok bool) {
	name, argument, _ := n.intrinsic()
	switch name {
	case "Condition":
		if argument.kind == scalar {
			return r.condition(n, argument.text, path)
		}
	case "Fn::Not":
		if args, ok := r.arguments(n, argument, path, 1, 1); ok {
			holds, ok = r.truth(args[0], path)
			return !holds, ok
		}
		return false, false
	case "Fn::And", "Fn::Or":
		return r.junction(n, argument, path, name == "Fn::And")
	case "Fn::Equals":
		args, ok := r.arguments(n, argument, path, 2, 2)
		if !ok {
			return false, false
		}
		left, ok1 := r.text(args[0], path)
		right, ok2 := r.text(args[1], path)
		return left == right, ok1 && ok2
	}
	r.add(n, path, "this is not a condition: it must be Fn::Equals, Fn::And, Fn::Or, Fn::Not or Condition")
	return false, false
}

func (r *reader) junction(n, argument *node, path string, and bool) (holds, ok bool) {
	args, ok := r.arguments(n, argument, path, 2, 10)
	if !ok {
		return false, false
	}
	holds = and
	for _, arg := range args {
		one, fine := r.truth(arg, path)
		ok = ok && fine
		if and {
			holds = holds && one
		} else {
			holds = holds || one
		}
	}
	return holds, ok
}

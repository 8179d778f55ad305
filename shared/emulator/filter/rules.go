package filter

import (
	"errors"
	"fmt"
	"strings"
)

// rule matches one value; present is false if the record has none.
type rule func(value any, present bool) bool

func compileRules(raw []any) ([]rule, error) {
	if len(raw) == 0 {
		return nil, errors.New("an empty array matches nothing")
	}
	rules := make([]rule, 0, len(raw))
	for _, item := range raw {
		r, err := compileRule(item)
		if err != nil {
			return nil, err
		}
		rules = append(rules, r)
	}
	return rules, nil
}

func compileRule(raw any) (rule, error) {
	switch raw := raw.(type) {
	case map[string]any:
		if len(raw) != 1 {
			return nil, errors.New("an operator must be alone in its object")
		}
		for operator, argument := range raw {
			return compileOperator(operator, argument)
		}
	case []any:
		return nil, errors.New("an array can't hold an array")
	}
	return func(value any, present bool) bool { return present && value == raw }, nil
}

func compileOperator(operator string, argument any) (rule, error) {
	switch operator {
	case "exists":
		wanted, ok := argument.(bool)
		if !ok {
			return nil, errors.New("exists needs true or false")
		}
		return func(_ any, present bool) bool { return present == wanted }, nil
	case "numeric":
		return compileNumeric(argument)
	case "anything-but":
		return compileAnythingBut(argument)
	case "prefix", "suffix", "equals-ignore-case":
		return compileText(operator, argument)
	}
	return nil, fmt.Errorf("unrecognized match type %s", operator)
}

func compileText(operator string, argument any) (rule, error) {
	wanted, ok := argument.(string)
	if !ok || wanted == "" {
		return nil, fmt.Errorf("%s needs a string", operator)
	}
	test := strings.EqualFold
	switch operator {
	case "prefix":
		test = strings.HasPrefix
	case "suffix":
		test = strings.HasSuffix
	}
	return func(value any, present bool) bool {
		text, ok := value.(string)
		return present && ok && test(text, wanted)
	}, nil
}

// compileAnythingBut accepts a value, a list of values, or a string operator.
func compileAnythingBut(argument any) (rule, error) {
	excluded, ok := argument.([]any)
	if !ok {
		excluded = []any{argument}
	}
	rules, err := compileRules(excluded)
	if err != nil {
		return nil, fmt.Errorf("anything-but: %w", err)
	}
	return func(value any, present bool) bool {
		if !present {
			return false
		}
		for _, r := range rules {
			if r(value, true) {
				return false
			}
		}
		return true
	}, nil
}

// compileNumeric accepts [operator, number], once or twice.
func compileNumeric(argument any) (rule, error) {
	list, ok := argument.([]any)
	if !ok || (len(list) != 2 && len(list) != 4) {
		return nil, errors.New("numeric needs an array of one or two comparisons")
	}
	var tests []func(float64) bool
	for i := 0; i < len(list); i += 2 {
		operator, _ := list[i].(string)
		limit, ok := list[i+1].(float64)
		test := comparison(operator, limit)
		if !ok || test == nil {
			return nil, fmt.Errorf("numeric can't compare by %v %v", list[i], list[i+1])
		}
		tests = append(tests, test)
	}
	return func(value any, present bool) bool {
		number, ok := value.(float64)
		if !present || !ok {
			return false
		}
		for _, test := range tests {
			if !test(number) {
				return false
			}
		}
		return true
	}, nil
}

func comparison(operator string, limit float64) func(float64) bool {
	switch operator {
	case "=":
		return func(n float64) bool { return n == limit }
	case "<":
		return func(n float64) bool { return n < limit }
	case "<=":
		return func(n float64) bool { return n <= limit }
	case ">":
		return func(n float64) bool { return n > limit }
	case ">=":
		return func(n float64) bool { return n >= limit }
	}
	return nil
}

// Package arch has no code. Its test holds the walls between the packages: who may
// import whom, each rule with its reason.
package arch

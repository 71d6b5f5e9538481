//go:build race

package main

const raceDetector = true // which makes things ten times slower

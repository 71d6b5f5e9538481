package consumer

import (
	"encoding/binary"
	"math/bits"
)

// laneOf says which of n lanes runs the records with this key.
//
// All records of a partition have keys for which the producer's partitioner gave
// the same remainder, mostly of murmur2. A hash that is related to it would leave
// lanes empty; this one is a multiply-and-fold over words and shares nothing with
// it.
func laneOf(key []byte, n int) int {
	hi, _ := bits.Mul64(hashKey(key), uint64(n))
	return int(hi)
}

const (
	hashSeed = 0x9e3779b97f4a7c15 // the golden ratio
	hashMul  = 0xd6e8feb86659fd93 // odd, half of its bits set
)

func hashKey(key []byte) uint64 {
	h := uint64(hashSeed) ^ uint64(len(key))
	for len(key) >= 8 {
		h = fold(h^binary.LittleEndian.Uint64(key), hashMul)
		key = key[8:]
	}
	if len(key) > 0 {
		var tail [8]byte
		copy(tail[:], key)
		h = fold(h^binary.LittleEndian.Uint64(tail[:]), hashMul)
	}
	return fold(h^hashSeed, hashMul)
}

// fold multiplies to 128 bits and folds them to 64. Adding first keeps an all-zero
// state from staying zero.
func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a+hashSeed, b)
	return hi ^ lo
}

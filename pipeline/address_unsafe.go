package pipeline

import "unsafe"

// addressOf says where an entry's clock lies, for a prefetch.
func addressOf(c *flowClock) uintptr { return uintptr(unsafe.Pointer(c)) }

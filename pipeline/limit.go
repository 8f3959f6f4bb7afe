package pipeline

// limit is the stage where the token buckets of flow, queue, ENI and instance
// will hold packets back. No limit can be configured yet, so it passes all.
func (w *Worker) limit() {}

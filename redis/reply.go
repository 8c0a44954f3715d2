package redis

func told(err error) error { return err }

import keras

from keras_mtl.training.backends.tensorflow.flops import forward_flops


def test_a_dense_layer_by_hand():
    x = keras.Input((4,))
    # 4 multiplications and additions for each of 3 units, and a bias.
    assert forward_flops(keras.Model(x, keras.layers.Dense(3)(x))) == 27


def test_a_convolution_and_several_outputs_by_hand():
    x = keras.Input((6, 6, 2), name="image")
    conv = keras.layers.Conv2D(5, 3, padding="same", use_bias=False)(x)
    pooled = keras.layers.Flatten()(conv)
    outputs = {
        "a": keras.layers.Dense(1, use_bias=False)(pooled),
        "b": keras.layers.Dense(1, use_bias=False)(pooled),
    }
    expected = 6 * 6 * 5 * (3 * 3 * 2) * 2 + 2 * (6 * 6 * 5) * 2
    assert forward_flops(keras.Model({"image": x}, outputs)) == expected
